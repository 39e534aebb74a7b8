-- attack: compensations without end
-- expect: limit
-- where: workflow
ml.saga(function(s) while true do s:compensate(function() end, {}) end end)
