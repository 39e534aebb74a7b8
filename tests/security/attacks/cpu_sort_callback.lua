-- attack: a loop inside the comparison of table.sort
-- expect: limit
-- where: both
while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end
