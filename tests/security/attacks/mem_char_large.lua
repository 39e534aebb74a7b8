-- attack: utf8.char and string.char results kept
-- expect: limit
-- where: workflow
local a, t = {}, {} for i = 1, 50000 do a[i] = 0x7fffffff end
while true do t[#t + 1] = utf8.char(table.unpack(a)) .. #t end
