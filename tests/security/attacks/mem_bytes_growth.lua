-- attack: ml.bytes kept for ever
-- expect: limit
-- where: workflow
local t, s = {}, ('x'):rep(1000000) while true do t[#t + 1] = ml.bytes(s) end
