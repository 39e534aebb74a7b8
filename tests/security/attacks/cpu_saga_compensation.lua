-- attack: a compensation that loops while the saga fails
-- expect: limit
-- where: workflow
ml.saga(function(s) s:compensate(function() while true do pcall(error) end end) error('x') end)
