-- attack: a table that grows for ever
-- expect: limit
-- where: both
local t = {} while true do t[#t + 1] = {} end
