-- attack: io by package.loaded in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return package.loaded.io end)
return not ok or v == nil
