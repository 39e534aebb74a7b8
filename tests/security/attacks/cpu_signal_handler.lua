-- attack: a signal handler that loops
-- expect: limit
-- where: workflow
ml.on_signal('go', function() while true do pcall(error) end end)
ml.external(ml.info().workflow_id):signal('go', 1)
ml.sleep('1d')
