-- attack: a branch of an activity that loops after its function ended
-- expect: limit
-- where: activity
ml.spawn(function() while true do pcall(error) end end) ml.sleep(0.01) return 1
