-- attack: pairs over a table with objects as keys
-- expect: error has no defined order
-- where: workflow
local t = {[{}] = 1, [{}] = 2} for k in pairs(t) do return tostring(k) end
