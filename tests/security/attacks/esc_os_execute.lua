-- attack: os.execute in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return os.execute end)
return not ok or v == nil
