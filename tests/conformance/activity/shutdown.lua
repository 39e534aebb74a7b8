--[==[ conformance
asks: a worker that stops tells its activities: one completes, one fails, one is cancelled; the last two are tried again by the next worker
weight: B
needs: ml.shield ml.cancel_requested
steps:
  wait WorkflowTaskCompleted
  sleep 0.5
  worker restart
result: {"completes":"completed in time","fails":"attempt 2","accepts":"attempt 2"}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled activityType.name="shutdown.completes"
  ActivityTaskScheduled activityType.name="shutdown.fails"
  ActivityTaskScheduled activityType.name="shutdown.accepts"
  {
  ActivityTaskStarted scheduledEventId=5 attempt=1
  ActivityTaskStarted scheduledEventId=6 attempt=2
  ActivityTaskStarted scheduledEventId=7 attempt=2
  ActivityTaskCompleted result=["completed in time"]
  ActivityTaskCompleted scheduledEventId=6 result=["attempt 2"]
  ActivityTaskCompleted scheduledEventId=7 result=["attempt 2"]
  WorkflowTaskScheduled?
  WorkflowTaskTimedOut?
  }
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local options = { timeout = "30s", retry = { initial = "10ms", max_attempts = 5 } }
local function told()
  for _ = 1, 100 do
    ml.sleep("50ms")
    if ml.cancel_requested() then return true end
  end
end
local completes = ml.activity("shutdown.completes", options, function()
  return ml.shield(function() return told() and "completed in time" or "nobody told" end)
end)
local fails = ml.activity("shutdown.fails", options, function()
  if ml.info().attempt > 1 then return "attempt " .. ml.info().attempt end
  ml.shield(function() if told() then ml.fail("stopping") end end)
end)
local accepts = ml.activity("shutdown.accepts", options, function()
  if ml.info().attempt > 1 then return "attempt " .. ml.info().attempt end
  ml.sleep("10s")
end)

ml.workflow("activity/shutdown", function()
  local a, b, c = completes:async(), fails:async(), accepts:async()
  return { completes = a:await(), fails = b:await(), accepts = c:await() }
end)
