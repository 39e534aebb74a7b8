-- attack: recursion without end, caught in an activity
-- expect: value false
-- where: activity
local function f() return f() + 1 end return (pcall(f))
