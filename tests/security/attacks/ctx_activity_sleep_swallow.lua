-- attack: an activity that swallows its cancellation and sleeps on
-- expect: limit
-- where: activity
while true do pcall(ml.sleep, 0.01) end
