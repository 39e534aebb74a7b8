-- attack: 200,000 text keys: with an unknown seed they spread
-- expect: value 200000
-- where: workflow
local t, n = {}, 0
for i = 1, 200000 do t[('k'):rep(i % 30) .. i] = i end
for _ in pairs(t) do n = n + 1 end
return n
