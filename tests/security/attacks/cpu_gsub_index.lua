-- attack: a gsub table whose __index loops
-- expect: limit
-- where: workflow
string.gsub('x', 'x', setmetatable({}, {__index = function() while true do pcall(error) end end}))
