-- attack: sorting a million numbers again and again
-- expect: limit
-- where: workflow
local t = {} for i = 1, 200000 do t[i] = (i * 7919) % 1000003 end
while true do table.sort(t) end
