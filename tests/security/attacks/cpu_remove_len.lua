-- attack: table.remove from a table whose __len is endless
-- expect: error table.remove
-- where: both
table.remove(setmetatable({}, {__len = function() return math.maxinteger - 1 end}), 1.0)
