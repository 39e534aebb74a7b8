-- attack: the order of next
-- expect: same
-- where: workflow
local t = {} for i = 1, 50 do t['k' .. (i * 7919 % 101)] = i end
local out, k = {}, next(t) while k do out[#out + 1] = k k = next(t, k) end return table.concat(out, ' ')
