-- attack: a coroutine that resumes itself and its resumer
-- expect: value [false,false]
-- where: both
local outer = coroutine.running() local co
co = coroutine.create(function() return (coroutine.resume(co)), (coroutine.resume(outer)) end)
local _, a, b = coroutine.resume(co) return ml.list {a, b}
