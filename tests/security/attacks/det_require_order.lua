-- attack: modules loaded and their names
-- expect: same
-- where: workflow
local out = {} for k in pairs(package.loaded) do out[#out + 1] = tostring(k) end return table.concat(out, ' ')
