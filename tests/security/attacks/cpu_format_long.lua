-- attack: string.format with a format of 8 MB
-- expect: limit
-- where: workflow
local f = ('x'):rep(8000000)
while true do string.format(f) end
