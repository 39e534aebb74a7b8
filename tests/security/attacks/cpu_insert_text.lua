-- attack: the same with the position as a text
-- expect: error table.insert
-- where: both
table.insert(setmetatable({}, {__len = function() return math.maxinteger - 1 end}), '1', 1)
