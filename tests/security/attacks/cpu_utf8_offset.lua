-- attack: utf8.offset through a large text
-- expect: limit
-- where: workflow
local s = ('x'):rep(10000000)
while true do utf8.offset(s, 9999999) end
