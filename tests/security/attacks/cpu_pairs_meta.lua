-- attack: a __pairs whose iterator never ends
-- expect: limit
-- where: workflow
for k in pairs(setmetatable({}, {__pairs = function() return function() return 1 end end})) do end
