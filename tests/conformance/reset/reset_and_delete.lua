--[==[ conformance
asks: a reset ends the run and makes a new one from an earlier point; the new run can be deleted, the old one stays
weight: B
needs: ml.activity
steps:
  wait WorkflowTaskCompleted 2
  reset 4
  wait WorkflowTaskFailed
  wait WorkflowTaskCompleted 2
  look
  delete
events look:
  WorkflowExecutionStarted input=[null]
  TaskFailed cause="WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW"
  Task
  ActivityTaskScheduled
  ActivityTaskStarted
  ActivityTaskCompleted
  Task
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  ActivityTaskStarted
  ActivityTaskCompleted
  Task
  WorkflowExecutionTerminated
]==]
local ml = require "moonloop"
local act = ml.activity("reset.act", { timeout = "20s" }, function() return "done" end)

ml.workflow("reset/reset_and_delete", function()
  local text = act()
  ml.channel("never"):receive()
  return text
end)
