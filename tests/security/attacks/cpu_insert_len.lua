-- attack: table.insert into a table whose __len is endless
-- expect: error table.insert
-- where: both
table.insert(setmetatable({}, {__len = function() return math.maxinteger - 1 end}), 1, 1)
