-- attack: a chunk with 200,000 constants
-- expect: value "function"
-- where: both
local t = {} for i = 1, 100000 do t[i] = i + 0.5 end
return type(load('return {' .. table.concat(t, ',') .. '}'))
