-- attack: patch markers without end
-- expect: limit
-- where: workflow
local i = 0 while true do i = i + 1 ml.patched('p' .. i) end
