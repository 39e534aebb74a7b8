-- attack: recursion without end
-- expect: limit
-- where: workflow
local function f() return f() + 1 end return f()
