-- attack: a wait inside a side effect
-- expect: error only computes a value
-- where: workflow
ml.side_effect(function() ml.sleep(1) end)
