-- attack: coroutines nested without end in an activity
-- expect: error stack overflow
-- where: activity
local function f() return coroutine.wrap(f)() end f()
