-- attack: handing on 200,000 arguments in each call
-- expect: limit time
-- where: workflow
local t = {}
local function g() end
local function f(...) while true do g(...) end end
f(table.unpack(t, 1, 200000))
