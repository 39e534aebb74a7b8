-- attack: the same, each step in pcall
-- expect: limit
-- where: both
local s = 'x' while true do pcall(function() s = s .. s end) end
