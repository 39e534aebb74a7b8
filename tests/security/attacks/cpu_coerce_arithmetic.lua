-- attack: arithmetic on a text of ten million digits: a C conversion in each instruction
-- expect: limit time
-- where: workflow
local s = '0x' .. ('f'):rep(10000000)
local n = 0 while true do n = s + 1 end
