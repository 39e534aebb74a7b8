-- attack: a __close that closes the coroutine which closes it
-- expect: value true
-- where: both
local a, b
a = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() pcall(coroutine.close, b) end}) coroutine.yield() end)
b = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() pcall(coroutine.close, a) end}) coroutine.yield() end)
coroutine.resume(a) coroutine.resume(b) pcall(coroutine.close, a) pcall(coroutine.close, b) return true
