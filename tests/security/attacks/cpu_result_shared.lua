-- attack: returning a table shared in itself 2^60 times
-- expect: error larger than 32 MiB
-- where: workflow
local t = {} for i = 1, 60 do t = {t, t} end
return t
