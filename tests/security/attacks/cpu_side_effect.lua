-- attack: an ml.side_effect that loops
-- expect: limit
-- where: workflow
ml.side_effect(function() while true do pcall(error) end end)
