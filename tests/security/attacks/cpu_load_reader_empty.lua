-- attack: load from a reader that loops
-- expect: limit
-- where: workflow
load(function() while true do pcall(error) end end)
