--[==[ conformance
asks: the wait for the child ends at once; the child is asked to cancel
weight: B
needs: future:cancel
steps:
  wait /child:WorkflowExecutionCanceled
result: {"type":"ChildWorkflowFailure","cause":"Canceled","since":0}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  {
  ChildWorkflowExecutionStarted
  WorkflowExecutionSignaled signalName="up"
  }
  RequestCancelExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID/child" childWorkflowOnly=true
  TimerStarted
  {
  ExternalWorkflowExecutionCancelRequested
  ChildWorkflowExecutionCanceled
  TimerFired
  }
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted
  Task
  SignalExternalWorkflowExecutionInitiated signalName="up"
  {
  ExternalWorkflowExecutionSignaled
  WorkflowExecutionCancelRequested externalWorkflowExecution.workflowId="$ID"
  }
  WorkflowExecutionCanceled
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/cancel_try_cancel.child", function(parent)
  ml.external(parent):signal("up")
  ml.channel("never"):receive()
end)
ml.workflow("child_workflow/cancel_try_cancel", function()
  local id = ml.info().workflow_id
  local future = ml.child("child_workflow/cancel_try_cancel.child", { id = id .. "/child", cancel = "try" }):async(id)
  ml.channel("up"):receive()
  local before = ml.now()
  future:cancel()
  local _, e = pcall(future.await, future)
  local since = ml.time.diff(ml.now(), before)
  ml.sleep("1s") -- the child ends meanwhile
  return { type = e.type, cause = e.cause.type, since = since }
end)
