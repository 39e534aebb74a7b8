-- attack: query handlers defined without end
-- expect: error 10000 handlers
-- where: workflow
local i = 0 while true do i = i + 1 ml.query('q' .. i, function() end) end
