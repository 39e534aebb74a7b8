-- attack: table.move through __index and __newindex that loop
-- expect: limit
-- where: workflow
table.move(setmetatable({}, {__index = function() while true do pcall(error) end end}), 1, 10, 2)
