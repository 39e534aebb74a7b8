-- attack: a spawned branch that loops while the main one waits
-- expect: limit
-- where: workflow
local f = ml.spawn(function() while true do end end)
ml.sleep('1d') f:await()
