-- attack: one object among other keys has a place: the last
-- expect: value "table"
-- where: workflow
local t = {[{}] = 1, a = 1, [1] = 1} local last for k in pairs(t) do last = k end return type(last)
