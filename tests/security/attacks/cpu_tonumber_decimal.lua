-- attack: tonumber of ten million decimal digits
-- expect: limit
-- where: workflow
local s = ('1'):rep(10000000)
while true do tonumber(s) end
