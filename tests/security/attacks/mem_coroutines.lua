-- attack: a million live coroutines
-- expect: limit
-- where: both
local t = {} for i = 1, 1e6 do t[i] = coroutine.create(print) coroutine.resume(t[i]) t[i] = coroutine.wrap(function() coroutine.yield() end) t[i]() end
