-- attack: os.remove and os.rename in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return os.remove or os.rename end)
return not ok or v == nil
