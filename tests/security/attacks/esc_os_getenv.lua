-- attack: os.getenv in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return os.getenv end)
return not ok or v == nil
