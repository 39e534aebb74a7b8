-- attack: metatables past their guard
-- expect: value true
-- where: both
local ok, v = pcall(function() return debug.setmetatable or debug.getmetatable or debug.setuservalue end)
return not ok or v == nil
