-- attack: utf8.len over a large text
-- expect: limit
-- where: workflow
local s = ('x'):rep(10000000)
while true do utf8.len(s) end
