-- attack: back references over long captures
-- expect: limit
-- where: workflow
local s = ('a'):rep(20000)
return s:find('(a*)%1b')
