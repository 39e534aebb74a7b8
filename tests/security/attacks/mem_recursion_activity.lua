-- attack: recursion without end in an activity is an error of that activity
-- expect: error stack overflow
-- where: activity
local function f() return f() + 1 end return f()
