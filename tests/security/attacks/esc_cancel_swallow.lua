-- attack: a branch that swallows its cancellation for ever
-- expect: limit
-- where: workflow
local f = ml.spawn(function() while true do pcall(ml.sleep, '1s') end end)
ml.sleep(1) f:cancel() local function spin() while true do pcall(error) end end spin()
