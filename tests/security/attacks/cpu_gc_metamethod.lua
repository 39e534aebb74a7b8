-- attack: a finalizer that loops
-- expect: error __gc is not available
-- where: both
setmetatable({}, {__gc = function() while true do end end})
for i = 1, 1e5 do local t = {} end
return 'not refused'
