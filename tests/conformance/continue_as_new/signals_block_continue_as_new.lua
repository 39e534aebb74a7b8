--[==[ conformance
asks: a signal that comes while the run decides to continue as new stops it; the run sees the signal first
weight: A
needs: ml.continue_as_new ml.channel
start: []
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
local signal_once = ml.local_activity("signals_block.signal_once", { timeout = "20s" }, function()
  local run = ml.client.run(ml.info().workflow_id)
  for _, event in ipairs(run:history().events) do
    if event.eventType:find "SIGNALED" then return end
  end
  run:signal("late", "x") -- while the task that runs this is open
end)

ml.workflow("continue_as_new/signals_block_continue_as_new", function(seen)
  if #seen > 0 then return seen end
  signal_once()
  local ok, text = ml.channel("late"):try()
  if ok then seen[#seen + 1] = text end
  ml.continue_as_new(seen)
end)
