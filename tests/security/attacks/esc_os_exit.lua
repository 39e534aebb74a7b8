-- attack: os.exit in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return os.exit end)
return not ok or v == nil
