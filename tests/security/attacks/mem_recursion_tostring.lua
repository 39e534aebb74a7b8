-- attack: recursion through __tostring
-- expect: limit
-- where: workflow
local t = setmetatable({}, {}) getmetatable(t).__tostring = function(x) return tostring(x) end tostring(t)
