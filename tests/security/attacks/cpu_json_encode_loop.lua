-- attack: encoding a large value for ever
-- expect: limit
-- where: workflow
local t = {} for i = 1, 100000 do t[i] = i end
while true do ml.json.encode(t) end
