-- attack: signals to itself without end
-- expect: limit
-- where: workflow
while true do ml.spawn(function() ml.external('nobody'):signal('s', ('x'):rep(1000)) end) ml.spawn(function() end) end
