-- attack: an update validator that loops is not asked in vain
-- expect: value "fine"
-- where: file
ml.workflow('attack', function() ml.update('u', function() return 1 end, {validator = function() while true do end end}) ml.sleep(1) return 'fine' end)
