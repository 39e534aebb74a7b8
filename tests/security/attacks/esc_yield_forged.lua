-- attack: yielding the host's own objects as tokens
-- expect: error attempt to yield from outside a coroutine
-- where: workflow
coroutine.yield(ml.spawn(function() end), ml.null, 0)
