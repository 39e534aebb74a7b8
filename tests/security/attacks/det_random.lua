-- attack: math.random and ml.random: the same in every replay
-- expect: same
-- where: workflow
local n = 0 for i = 1, 20 do n = n + math.random(1, 1000) end ml.sleep(n) ml.sleep(ml.random() * 100 + 1) ml.sleep(math.random()) return 'fine'
