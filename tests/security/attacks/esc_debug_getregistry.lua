-- attack: the registry
-- expect: value true
-- where: both
local ok, v = pcall(function() return debug.getregistry end)
return not ok or v == nil
