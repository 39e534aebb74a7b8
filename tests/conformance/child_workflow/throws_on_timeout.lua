--[==[ conformance
asks: a child that runs out of its time is an error of its parent
weight: B
needs: ml.child
result: {"type":"ChildWorkflowFailure","cause":"Timeout"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated workflowRunTimeout="1s"
  ChildWorkflowExecutionStarted
  Task
  ChildWorkflowExecutionTimedOut
  Task
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted workflowRunTimeout="1s"
  Task
  WorkflowExecutionTimedOut
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/throws_on_timeout.child", function() ml.channel("never"):receive() end)
ml.workflow("child_workflow/throws_on_timeout", function()
  local _, e = pcall(ml.child("child_workflow/throws_on_timeout.child", { id = ml.info().workflow_id .. "/child", run_timeout = "1s" }))
  return { type = e.type, cause = e.cause.type }
end)
