-- attack: an ml.await whose predicate loops
-- expect: limit
-- where: workflow
ml.await(function() while true do pcall(error) end end)
