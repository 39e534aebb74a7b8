-- attack: coroutine.close of a coroutine inside its own __close
-- expect: value true
-- where: both
local co
co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() pcall(coroutine.close, co) pcall(coroutine.resume, co) end}) coroutine.yield() end)
coroutine.resume(co) coroutine.close(co) pcall(coroutine.close, co) return coroutine.status(co) == 'dead'
