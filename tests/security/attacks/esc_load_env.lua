-- attack: load with another environment reaches only that
-- expect: value [1,"nil"]
-- where: both
local env = {x = 1} return ml.list {load('return x', 'c', 't', env)(), load('return type(print)', 'c', 't', setmetatable({type = type}, {__index = function() end}))()}
