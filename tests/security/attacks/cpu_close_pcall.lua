-- attack: looping __close in an endless loop of pcall
-- expect: limit
-- where: workflow
while true do pcall(function()
  local x <close> = setmetatable({}, {__close = function() while true do pcall(error) end end}) error('x') end) end
