-- attack: compiled functions kept for ever
-- expect: limit
-- where: workflow
local t = {} while true do t[#t + 1] = load('return ' .. #t) end
