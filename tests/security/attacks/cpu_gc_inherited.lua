-- attack: a __gc found through the metatable of the metatable
-- expect: value "fine"
-- where: both
local mt = setmetatable({}, {__index = {__gc = function() while true do end end}})
for i = 1, 1000 do setmetatable({}, mt) end
for i = 1, 50000 do local t = {} end
return 'fine'
