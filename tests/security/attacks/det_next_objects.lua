-- attack: next over a table with functions as keys
-- expect: error has no defined
-- where: workflow
local t = {[print] = 1, [type] = 2} return tostring(next(t))
