-- attack: string.rep of nothing, 2^62 times
-- expect: value 0
-- where: both
local n = 0 for i = 1, 100 do n = n + #string.rep('', 1 << 62) end return n
