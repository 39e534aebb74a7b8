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

-- An agent run whose transcript grows: each turn hands the whole list of messages to an activity.
local answer = ml.activity("answer", { timeout = "30s" }, function(messages)
  return { role = "assistant", content = ("answer %d "):format(#messages) .. ("so it is, as far as one can tell. "):rep(8) }
end)
ml.workflow("turns", function(n)
  local messages = ml.list {}
  for i = 1, n do
    messages[#messages + 1] = { role = "user", content = ("question %d "):format(i) .. ("what comes next, and why? "):rep(6) }
    messages[#messages + 1] = answer(messages)
  end
  return #messages
end)
