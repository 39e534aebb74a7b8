-- attack: package.searchers and searchpath in a workflow
-- expect: value true
-- where: workflow
local ok, v = pcall(function() return package.searchers or package.searchpath end)
return not ok or v == nil
