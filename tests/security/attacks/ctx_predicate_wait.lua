-- attack: a wait inside the predicate of ml.await
-- expect: error only reads the state of the run
-- where: workflow
ml.await(function() ml.sleep(1) return true end)
