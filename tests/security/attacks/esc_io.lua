-- attack: io in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return io.open end)
return not ok or v == nil
