-- attack: package.loadlib in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return package.loadlib end)
return not ok or v == nil
