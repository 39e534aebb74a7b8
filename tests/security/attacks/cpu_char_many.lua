-- attack: string.char of 200,000 arguments
-- expect: limit
-- where: workflow
local t = {} for i = 1, 200000 do t[i] = 65 end
while true do string.char(table.unpack(t)) end
