-- attack: debug.traceback
-- expect: same
-- where: workflow
local function f() return debug.traceback('here', 1) end return (f())
