-- The workload of scripts/bench.
local ml = require "moonloop"

local step = ml.activity("step", { timeout = "30s" }, function(n) return n + 1 end)

-- n sequential durable steps.
ml.workflow("steps", function(n)
  local x = 0
  for _ = 1, n do x = step(x) end
  return x
end)

-- One step.
ml.workflow("one", function(n) return step(n) end)

-- A timer, due at a given time; tells how late it fired.
ml.workflow("late", function(due)
  ml.sleep_until(due)
  return 0
end)

-- Steps until killed: for the time from a restart to the next step.
ml.workflow("endless", function()
  local x = 0
  while true do x = step(x) end
end)
