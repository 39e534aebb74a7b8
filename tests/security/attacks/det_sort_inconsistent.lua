-- attack: sorting by a comparison that contradicts itself
-- expect: same
-- where: workflow
local t, n = {}, 0 for i = 1, 300 do t[i] = i end
table.sort(t, function() n = n + 1 return n % 3 == 0 end) return table.concat(t, ' ')
