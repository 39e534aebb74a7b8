-- attack: string functions replaced by the script reach only its own state
-- expect: value "HELLO"
-- where: file
local once = ml.activity('attack_step', {timeout = '5s'}, function() return ('hello'):upper() end)
ml.workflow('attack', function() string.upper = function() return 'changed' end string.format = nil table.concat = nil math.floor = nil return once() end)
