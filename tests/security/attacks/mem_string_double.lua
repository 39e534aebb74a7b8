-- attack: a text that doubles for ever
-- expect: limit
-- where: both
local s = 'x' while true do s = s .. s end
