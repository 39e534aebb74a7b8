-- The worker of scripts/bench --temporal in Lua; worker.py and go/main.go are the same for the official SDKs.
local ml = require "moonloop"

local step = ml.activity("step", { timeout = "30s" }, function(n) return n + 1 end)

-- One activity.
ml.workflow("one", function(n) return step(n) end)

-- n activities, one after the other, on the workflow's own queue.
ml.workflow("steps", function(n)
  local x = 0
  for _ = 1, n do x = step(x) end
  return x
end)

-- The same with the activities on a queue that another process serves: nothing but workflow tasks is left here.
ml.workflow("steps_at", function(n, queue)
  local there, x = step:with { task_queue = queue }, 0
  for _ = 1, n do x = there(x) end
  return x
end)
