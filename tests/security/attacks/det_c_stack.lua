-- attack: an overflow of nested C calls is a limit, for its depth depends on where the run was resumed
-- expect: limit
-- where: workflow
local n = 0 local function f() n = n + 1 return (('x'):gsub('x', f)) end pcall(f) return n
