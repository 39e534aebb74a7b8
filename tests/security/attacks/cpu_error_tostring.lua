-- attack: an error object whose __tostring loops and swallows
-- expect: limit
-- where: workflow
error(setmetatable({}, {__tostring = function() while true do pcall(function() while true do end end) end end}))
