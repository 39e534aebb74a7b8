-- attack: a child that loops does not take its parent along
-- expect: value "fine"
-- where: file
ml.workflow('spins', function() while true do pcall(error) end end)
ml.workflow('attack', function() local h = ml.child('spins', {}):start() ml.sleep(1) return 'fine' end)
