-- attack: removing the budget by debug.sethook
-- expect: value true
-- where: both
local ok, v = pcall(function() return debug.sethook end)
return not ok or v == nil
