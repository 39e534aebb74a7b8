-- attack: side effects without end
-- expect: limit
-- where: workflow
while true do ml.side_effect(function() return ('x'):rep(1000) end) end
