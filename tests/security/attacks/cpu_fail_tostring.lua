-- attack: ml.fail with an object whose __tostring loops
-- expect: limit
-- where: both
ml.fail(setmetatable({}, {__tostring = function() while true do pcall(error) end end}))
