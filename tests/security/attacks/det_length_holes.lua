-- attack: # of lists with holes that numbers alone have made
-- expect: same
-- where: workflow
local out = {} for n = 1, 60 do local t = {} for i = 1, n do t[i] = i end for i = 2, n, 3 do t[i] = nil end out[n] = #t end return out
