--[==[ conformance
asks: a signal that comes while the last workflow task runs stops the completion; the run sees it before it ends
weight: A
needs: ml.on_signal
steps:
  wait WorkflowTaskStarted
  sleep 0.2
  signal late "x"
result: ["x"]
events:
  WorkflowExecutionStarted
  TaskFailed cause="WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND"
  WorkflowExecutionSignaled signalName="late"
  Task
  MarkerRecorded markerName="core_local_activity"
  WorkflowExecutionCompleted result=[["x"]]
]==]
local ml = require "moonloop"
local slow = ml.local_activity("prevent_close.slow", { timeout = "5s" }, function() ml.sleep("800ms") end)

ml.workflow("signal/prevent_close", function()
  local seen = ml.list {}
  ml.on_signal("late", function(text) seen[#seen + 1] = text end)
  slow()
  return seen
end)
