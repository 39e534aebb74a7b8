-- attack: tonumber with a base, of ten million digits
-- expect: limit
-- where: workflow
local s = ('z'):rep(10000000)
while true do tonumber(s, 36) end
