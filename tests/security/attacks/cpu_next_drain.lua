-- attack: emptying a large table from its first key, each step a walk
-- expect: limit
-- where: workflow
local t = {} for i = 1, 20000 do t['k' .. i] = i end
while next(t) do t[next(t)] = nil end
