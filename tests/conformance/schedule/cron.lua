--[==[ conformance
asks: a cron line on the start: run after run, each with the result of the one before
weight: A
needs: ml.info
options: {"cron":"@every 1s"}
steps:
  until n -> 3
  terminate
result: terminated
events:
  WorkflowExecutionStarted cronSchedule="@every 1s" firstWorkflowTaskBackoff~"s$"
  Task
  WorkflowExecutionCompleted result=[1] newExecutionRunId~"-"
events @2:
  WorkflowExecutionStarted initiator="CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE" lastCompletionResult=[1]
  Task
  WorkflowExecutionCompleted result=[2]
events @3:
  WorkflowExecutionStarted lastCompletionResult=[2] cronSchedule="@every 1s"
  Task
  WorkflowExecutionTerminated
]==]
local ml = require "moonloop"
ml.workflow("schedule/cron", function()
  local n = (ml.info().last_result or 0) + 1
  ml.query("n", function() return n end)
  if n == 3 then ml.channel("never"):receive() end
  return n
end)
