-- attack: table.move over all integers
-- expect: error table.move
-- where: both
return table.move({}, 1, math.maxinteger - 1, 2)
