-- attack: os.tmpname in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return os.tmpname end)
return not ok or v == nil
