-- attack: table.sort of a table whose __len is endless
-- expect: error more than
-- where: workflow
table.sort(setmetatable({}, {__len = function() return math.maxinteger end}))
