-- attack: branches inside branches without end
-- expect: limit
-- where: workflow
local function f() ml.spawn(f):await() end f()
