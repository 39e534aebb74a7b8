-- attack: tonumber of ten million hexadecimal digits
-- expect: limit
-- where: workflow
local s = '0x' .. ('f'):rep(10000000)
while true do tonumber(s) end
