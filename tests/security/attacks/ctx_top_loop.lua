-- attack: a file whose top loops in the run
-- expect: limit
-- where: file
-- normal: apart
local first = ml.activity('attack_step', {timeout = '5s'}, function() return 1 end)
if not rawget(_G, 'io') then while true do pcall(error) end end
ml.workflow('attack', function() return first() end)
