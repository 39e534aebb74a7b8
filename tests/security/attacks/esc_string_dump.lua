-- attack: string.dump
-- expect: value true
-- where: both
local ok, v = pcall(function() return string.dump end)
return not ok or v == nil
