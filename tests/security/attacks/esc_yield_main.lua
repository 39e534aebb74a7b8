-- attack: coroutine.yield in a run's own coroutine
-- expect: error attempt to yield from outside a coroutine
-- where: both
coroutine.yield('forged', 1)
