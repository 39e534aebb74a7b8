-- attack: looking up colliding integer keys for ever
-- expect: limit time
-- where: workflow
local t, step = {}, (1 << 14) - 1
for i = 1, 9000 do t[i * step] = true end
local n while true do for i = 1, 9000 do n = t[i * step] end end
