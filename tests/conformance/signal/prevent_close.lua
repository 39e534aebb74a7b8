--[==[ conformance
asks: a signal that comes while the last workflow task runs stops the completion; the run sees it before it ends
weight: A
needs: ml.on_signal
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
local signal_once = ml.local_activity("prevent_close.signal_once", { timeout = "20s" }, function()
  local run = ml.client.run(ml.info().workflow_id)
  for _, event in ipairs(run:history().events) do
    if event.eventType:find "SIGNALED" then return end
  end
  run:signal("late", "x") -- while the task that runs this is open
end)

ml.workflow("signal/prevent_close", function()
  local seen = ml.list {}
  ml.on_signal("late", function(text) seen[#seen + 1] = text end)
  signal_once()
  return seen
end)
