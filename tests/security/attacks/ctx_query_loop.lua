-- attack: a query that loops fails alone
-- expect: value "fine"
-- where: file
ml.workflow('attack', function() ml.query('q', function() while true do pcall(error) end end) ml.sleep(1) return 'fine' end)
