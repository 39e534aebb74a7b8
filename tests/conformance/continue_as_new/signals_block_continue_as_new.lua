--[==[ conformance
asks: a signal that comes while the run decides to continue as new stops it; the run sees the signal first
weight: A
needs: ml.continue_as_new ml.channel
start: []
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
  MarkerRecorded
  WorkflowExecutionContinuedAsNew input=[["x"]]
events @2:
  WorkflowExecutionStarted input=[["x"]]
  Task
  WorkflowExecutionCompleted result=[["x"]]
]==]
local ml = require "moonloop"
local slow = ml.local_activity("signals_block.slow", { timeout = "5s" }, function() ml.sleep("800ms") end)

ml.workflow("continue_as_new/signals_block_continue_as_new", function(seen)
  if #seen > 0 then return seen end
  slow()
  local ok, text = ml.channel("late"):try()
  if ok then seen[#seen + 1] = text end
  ml.continue_as_new(seen)
end)
