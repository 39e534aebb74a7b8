-- attack: reading another function's locals
-- expect: value true
-- where: both
local ok, v = pcall(function() return debug.getlocal or debug.setlocal or debug.getinfo end)
return not ok or v == nil
