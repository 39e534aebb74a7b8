-- attack: the order of pairs over 5,000 texts, some removed meanwhile
-- expect: same
-- where: workflow
local t = {} for i = 1, 5000 do t['k' .. i] = i end
local h, n = 0, 0 for k, v in pairs(t) do n = n + 1 h = (h * 31 + v) % 1000000007 if n % 3 == 0 then t['k' .. n] = nil end end return h
