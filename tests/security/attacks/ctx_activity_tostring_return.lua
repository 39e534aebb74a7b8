-- attack: an activity's result whose metamethods loop
-- expect: value {}
-- where: activity
return setmetatable({}, {__index = function() while true do end end, __len = function() while true do end end, __pairs = function() while true do end end, __tostring = function() while true do end end})
