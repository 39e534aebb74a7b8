-- attack: the same with the position as a float
-- expect: error table.insert
-- where: both
table.insert(setmetatable({}, {__len = function() return math.maxinteger - 1 end}), 1.0, 1)
