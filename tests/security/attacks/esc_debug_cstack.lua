-- attack: debug.setcstacklimit
-- expect: value true
-- where: both
local ok, v = pcall(function() return debug.setcstacklimit end)
return not ok or v == nil
