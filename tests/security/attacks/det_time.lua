-- attack: os.time, os.clock and os.date come from the history
-- expect: same
-- where: workflow
local t = os.time() local c = os.clock() local d = os.date('*t') ml.sleep(t % 1000 + 1) ml.sleep((c % 1000) + d.sec + 1) return 'fine'
