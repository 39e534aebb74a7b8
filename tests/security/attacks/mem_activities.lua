-- attack: activities started without end
-- expect: limit
-- where: workflow
local act = ml.activity and normal_step
while true do ml.spawn(function() ml.sleep('1d') end) end
