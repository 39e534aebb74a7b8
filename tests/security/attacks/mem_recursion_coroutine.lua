-- attack: coroutines nested without end
-- expect: limit
-- where: workflow
local function f() return coroutine.wrap(f)() end f()
