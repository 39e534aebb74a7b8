-- attack: a loop in the __tostring that print calls
-- expect: limit
-- where: workflow
print(setmetatable({}, {__tostring = function() while true do end end}))
