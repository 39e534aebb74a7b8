-- attack: endless tail calls that never grow the stack
-- expect: limit
-- where: both
local function f() return f() end return f()
