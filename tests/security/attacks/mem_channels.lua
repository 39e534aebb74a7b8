-- attack: channels without end
-- expect: error 10000 channels
-- where: workflow
local i, t = 0, {} while true do i = i + 1 t[i] = ml.channel('c' .. i) end
