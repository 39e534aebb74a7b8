-- attack: reading the hook
-- expect: value true
-- where: both
local ok, v = pcall(function() return debug.gethook end)
return not ok or v == nil
