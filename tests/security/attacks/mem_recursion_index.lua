-- attack: recursion through __index functions
-- expect: limit
-- where: workflow
local mt = {} mt.__index = function(t, k) return t[k .. 'x'] end return setmetatable({}, mt).x
