--[==[ conformance
asks: a wait between attempts that is longer than the threshold becomes a timer; the next attempt is a new local activity
weight: B
needs: ml.local_activity
result: 2
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.seq=1 details.data.0.attempt=1 failure.message="once"
  TimerStarted startToFireTimeout="0.500s"
  TimerFired
  Task
  MarkerRecorded details.data.0.seq=2 details.data.0.attempt=2 details.result=[2]
  WorkflowExecutionCompleted result=[2]
]==]
local ml = require "moonloop"
local once = ml.local_activity("backoff.once", { timeout = "5s", retry_threshold = "100ms", retry = { initial = "500ms", max_attempts = 3 } }, function()
  if ml.info().attempt == 1 then ml.fail("once") end
  return ml.info().attempt
end)

ml.workflow("local_activity/backoff_with_persistent_timer", function() return once() end)
