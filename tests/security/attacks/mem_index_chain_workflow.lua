-- attack: a chain of 100,000 __index tables
-- expect: error '__index' chain too long
-- where: workflow
local t = {} for i = 1, 100000 do t = setmetatable({}, {__index = t}) end return t.x
