-- attack: text keys without end
-- expect: limit
-- where: workflow
local t = {} for i = 1, 1e9 do t['key' .. i] = i end
