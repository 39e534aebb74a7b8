-- attack: objects of an ended branch used later
-- expect: value true
-- where: workflow
local f = ml.spawn(function() return 1 end) ml.sleep(1) f:cancel() f:cancel() return f:done() and f:await() == 1 and f:await() == 1
