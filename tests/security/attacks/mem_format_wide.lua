-- attack: a format of many wide fields
-- expect: limit
-- where: workflow
local f, a = ('%99d'):rep(100000), {} for i = 1, 100000 do a[i] = i end
local t = {} while true do t[#t + 1] = string.format(f, table.unpack(a)) end
