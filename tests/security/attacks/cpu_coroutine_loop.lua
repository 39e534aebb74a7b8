-- attack: a loop in a coroutine
-- expect: limit
-- where: both
coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()
