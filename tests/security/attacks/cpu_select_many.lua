-- attack: select over 200,000 arguments in a loop
-- expect: limit
-- where: workflow
local function f(...) while true do local n = select('#', ...) end end
f(table.unpack({}, 1, 200000))
