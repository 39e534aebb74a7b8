-- attack: a __tostring that loops and swallows, where nothing can yield
-- expect: limit
-- where: both
while true do pcall(tostring, setmetatable({}, {__tostring = function()
  while true do pcall(function() while true do end end) end end})) end
