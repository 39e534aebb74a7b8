-- attack: all global names in order
-- expect: same
-- where: workflow
local out = {} for k, v in pairs(_G) do out[#out + 1] = tostring(k) .. type(v) end return table.concat(out, ' ')
