-- attack: changing upvalues of library functions
-- expect: value true
-- where: both
local ok, v = pcall(function() return debug.setupvalue or debug.upvaluejoin or debug.upvalueid end)
return not ok or v == nil
