-- attack: the same, swallowed by pcall
-- expect: limit
-- where: workflow
local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end
