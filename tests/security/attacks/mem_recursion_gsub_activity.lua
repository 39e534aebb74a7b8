-- attack: recursion through gsub callbacks in an activity
-- expect: error stack overflow
-- where: activity
local function f() return (('x'):gsub('x', f)) end f()
