-- attack: table.remove with a __len that answers 1 first and then without end
-- expect: value true
-- where: both
local n = 0
local t = setmetatable({}, {__len = function() n = n + 1 return n == 1 and 1 or math.maxinteger - 1 end})
pcall(table.remove, t, 1) n = 0 pcall(table.remove, t, 1.0)
return n >= 1
