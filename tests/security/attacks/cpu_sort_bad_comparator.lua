-- attack: comparisons that contradict themselves
-- expect: value {"n":1000}
-- where: both
local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1000 end
table.sort(t, function() return true end)
local flip = false
table.sort(t, function() flip = not flip return flip end)
local n = 0 for _ in pairs(t) do n = n + 1 end
return {n = n}
