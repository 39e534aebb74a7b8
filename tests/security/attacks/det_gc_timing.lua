-- attack: allocation and collection do not change what a run does
-- expect: same
-- where: workflow
local t, n = {}, 0 for i = 1, 30000 do t[i % 100] = {i} n = n + #t end ml.sleep(n % 100 + 1) return n
