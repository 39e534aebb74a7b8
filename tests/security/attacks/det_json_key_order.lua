-- attack: the order of keys in JSON
-- expect: same
-- where: workflow
local t = {} for i = 1, 50 do t['k' .. (i * 7919 % 101)] = i end return ml.json.encode(t)
