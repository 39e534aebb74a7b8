-- attack: a __gc of false that marks the table, then a function
-- expect: error __gc is not available
-- where: both
local mt = {__gc = false}
local t = setmetatable({}, mt) mt.__gc = function() while true do end end t = nil
for i = 1, 1e5 do local x = {} end
