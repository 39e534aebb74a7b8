-- attack: signal handlers defined without end
-- expect: error 10000 handlers
-- where: workflow
local i = 0 while true do i = i + 1 ml.on_signal('s' .. i, function() end) end
