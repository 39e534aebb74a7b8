-- attack: next on a table that was large and is empty now
-- expect: limit time
-- where: workflow
local t = {} for i = 1, 200000 do t['k' .. i] = i end
for i = 1, 200000 do t['k' .. i] = nil end
local n while true do n = next(t) end
