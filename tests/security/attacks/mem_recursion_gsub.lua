-- attack: recursion through gsub callbacks
-- expect: limit
-- where: workflow
local function f() return (('x'):gsub('x', f)) end f()
