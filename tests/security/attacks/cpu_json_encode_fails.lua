-- attack: encoding a large value that fails at its very end, swallowed
-- expect: limit
-- where: workflow
local t = {} for i = 1, 100000 do t[i] = i end t[#t + 1] = 0 / 0
while true do pcall(ml.json.encode, t) end
