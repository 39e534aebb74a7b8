-- attack: returning 1,000 levels
-- expect: error deeper than 100 levels
-- where: both
local t = {} for i = 1, 1000 do t = {t} end return t
