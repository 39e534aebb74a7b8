-- attack: a loop in a coroutine resumed inside __tostring
-- expect: limit
-- where: both
tostring(setmetatable({}, {__tostring = function()
  while true do coroutine.resume(coroutine.create(function() while true do end end)) end end}))
