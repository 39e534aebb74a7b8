-- attack: full collections for ever
-- expect: limit
-- where: both
local t = {} for i = 1, 100000 do t[i] = {} end
while true do collectgarbage() collectgarbage('step') collectgarbage('generational') end
