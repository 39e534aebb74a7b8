--[==[ conformance
asks: a failure in a handler is the caller's; another error fails the workflow task, and once the script is mended the update is answered
weight: A
needs: ml.update
options: {"taskTimeout":"2s"}
steps:
  wait WorkflowTaskCompleted
  update fail -> error "on purpose"
  update broken#1 -> later one
  wait WorkflowTaskFailed
  worker stop
  drop one
  mend
  worker start
  wait WorkflowTaskCompleted 3
  update broken#1 -> "mended"
  signal finish
result: "done"
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionUpdateCompleted outcome.failure.applicationFailureInfo.type="Wanted"
  TaskFailed+ cause="WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE" failure.message~"a typo"
  TaskFailed? failure.message~"the worker stops"
  TaskTimedOut?
  Task+
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionUpdateCompleted outcome.success=["mended"]
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("update/task_failure", function()
  ml.update("fail", function() ml.fail("on purpose", { type = "Wanted" }) end)
  ml.update("broken", function()
    error "a typo" -- broken
    return "mended"
  end)
  ml.channel("finish"):receive()
  return "done"
end)
