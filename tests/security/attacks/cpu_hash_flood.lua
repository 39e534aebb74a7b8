-- attack: integer keys that all fall on one place of the table: the insertion walks the chain
-- expect: value true
-- where: workflow
local t, step = {}, (1 << 14) - 1
for i = 1, 9000 do t[i * step] = true end
return t[step]
