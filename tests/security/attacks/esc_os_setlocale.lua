-- attack: os.setlocale in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return os.setlocale end)
return not ok or v == nil
