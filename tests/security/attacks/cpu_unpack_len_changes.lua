-- attack: table.unpack with a __len that answers 1 first and then without end
-- expect: value true
-- where: both
local n = 0
local t = setmetatable({}, {__len = function() n = n + 1 return n == 1 and 1 or math.maxinteger - 1 end})
pcall(table.unpack, t) n = 0 pcall(table.unpack, t, 1)
return n >= 1
