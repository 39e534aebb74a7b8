-- attack: dofile in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return dofile end)
return not ok or v == nil
