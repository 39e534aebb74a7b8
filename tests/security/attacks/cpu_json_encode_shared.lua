-- attack: a table shared in itself 2^60 times
-- expect: limit
-- where: workflow
local t = {} for i = 1, 60 do t = {t, t} end
while true do pcall(ml.json.encode, t) end
