-- attack: timers without end
-- expect: limit
-- where: workflow
while true do ml.spawn(ml.sleep, '1d') end
