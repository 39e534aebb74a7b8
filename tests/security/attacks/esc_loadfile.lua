-- attack: loadfile in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return loadfile end)
return not ok or v == nil
