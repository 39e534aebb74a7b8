-- attack: io by require in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return require('io').open end)
return not ok or v == nil
