-- attack: xpcall with a looping handler inside __tostring
-- expect: limit
-- where: both
tostring(setmetatable({}, {__tostring = function()
  while true do xpcall(function() while true do end end, function() while true do end end) end end}))
