-- attack: coroutine.close of itself, of the running and of the main one
-- expect: value true
-- where: both
local me = coroutine.running() local a = pcall(coroutine.close, me)
local co co = coroutine.create(function() return pcall(coroutine.close, co) end)
local _, b = coroutine.resume(co) return not a and not b
