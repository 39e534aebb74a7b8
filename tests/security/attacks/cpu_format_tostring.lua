-- attack: a loop in the __tostring that string.format calls
-- expect: limit
-- where: workflow
string.format('%s', setmetatable({}, {__tostring = function() while true do end end}))
