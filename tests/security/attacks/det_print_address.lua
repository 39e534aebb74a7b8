-- attack: printed objects
-- expect: same
-- where: workflow
local t = {} print(t, print) return tostring(t)
