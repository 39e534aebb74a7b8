-- attack: returning a table that contains itself
-- expect: error contains itself
-- where: both
local t = {} t.t = t return t
