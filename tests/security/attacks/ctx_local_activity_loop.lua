-- attack: a local activity that loops
-- expect: limit time
-- where: file
local l = ml.local_activity('attack_local', {timeout = '1s', retry = {max_attempts = 1}}, function() while true do pcall(error) end end)
ml.workflow('attack', function() return l() end)
