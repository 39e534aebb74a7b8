-- attack: handles of other workflows without end, each under a new id
-- expect: limit
-- where: workflow
local i = 0 while true do i = i + 1 ml.external('workflow-with-a-long-name-' .. i) end
