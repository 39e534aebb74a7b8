-- attack: a shuffle by math.random decides the order of timers
-- expect: same
-- where: workflow
local t = {} for i = 1, 20 do t[i] = i end for i = 20, 2, -1 do local j = math.random(i) t[i], t[j] = t[j], t[i] end
for _, v in ipairs(t) do ml.sleep(v) end return 'fine'
