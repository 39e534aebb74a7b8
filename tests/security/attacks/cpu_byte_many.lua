-- attack: string.byte of 900,000 bytes at once
-- expect: limit
-- where: workflow
local s = ('x'):rep(900000)
while true do string.byte(s, 1, -1) end
