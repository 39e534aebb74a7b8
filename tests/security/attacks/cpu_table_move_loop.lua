-- attack: table.move of five million elements in a loop
-- expect: limit
-- where: workflow
local t = {1, 2, 3}
while true do table.move(t, 1, 5000000, 2, {}) end
