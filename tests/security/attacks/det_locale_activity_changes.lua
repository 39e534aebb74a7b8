-- attack: a workflow after an activity called os.setlocale
-- expect: value ["1.5",true,"Z a"]
-- where: file
local change = ml.activity('change', {timeout = '5s'}, function() for _, l in ipairs {'de_DE.UTF-8', 'C.UTF-8', ''} do os.setlocale(l) end return 1 end)
ml.workflow('attack', function() change() local t = {'a', 'Z'} table.sort(t) return ml.list {string.format('%.1f', 1.5), 'B' < 'a', table.concat(t, ' ')} end)
