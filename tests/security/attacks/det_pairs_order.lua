-- attack: the order of pairs over texts, numbers and booleans
-- expect: same
-- where: workflow
local t = {} for _, k in ipairs {'zeta', 'alpha', 'mid', 'x1', 'x10', 'x2', true, false, 2.5, -1, 10, 1 << 40} do t[k] = 1 end
local out = {} for k in pairs(t) do out[#out + 1] = tostring(k) end ml.sleep(#out) return table.concat(out, ' ')
