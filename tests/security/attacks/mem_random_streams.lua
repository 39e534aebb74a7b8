-- attack: named streams of chance without end
-- expect: error streams
-- where: workflow
local i = 0 while true do i = i + 1 ml.random('s' .. i)() end
