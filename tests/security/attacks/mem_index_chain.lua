-- attack: a chain of a million __index tables
-- expect: error '__index' chain too long
-- where: activity
local t = {} for i = 1, 1000000 do t = setmetatable({}, {__index = t}) end return t.x
