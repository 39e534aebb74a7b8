-- attack: table.concat over all integers by __index
-- expect: error table.concat
-- where: both
return table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, math.maxinteger - 1)
