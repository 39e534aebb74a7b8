-- attack: table.concat with a __len that answers 1 first and then without end
-- expect: value true
-- where: both
local n = 0
local t = setmetatable({}, {__index = function() return '' end, __len = function() n = n + 1 return n == 1 and 1 or math.maxinteger - 1 end})
pcall(table.concat, t) n = 0 pcall(table.concat, t, '', 1)
return n >= 1
