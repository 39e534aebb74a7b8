-- attack: table.concat to hundreds of megabytes
-- expect: limit
-- where: workflow
local s, t = ('x'):rep(1000000), {} for i = 1, 1000 do t[i] = s end
return #table.concat(t)
