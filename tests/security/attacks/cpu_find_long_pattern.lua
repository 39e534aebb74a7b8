-- attack: a huge pattern against an empty text
-- expect: limit
-- where: workflow
local p = ('a'):rep(8000000)
while true do string.find('', p) end
