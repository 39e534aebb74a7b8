-- attack: %b over a long text from every position
-- expect: limit
-- where: workflow
local s = ('('):rep(100000)
while true do s:find('%b()') end
