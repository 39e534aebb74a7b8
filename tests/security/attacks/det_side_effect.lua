-- attack: a side effect is drawn once
-- expect: same
-- where: workflow
local n = ml.side_effect(function() return math.random(1, 1000) + os.time() % 7 end) ml.sleep(n) return 'fine'
