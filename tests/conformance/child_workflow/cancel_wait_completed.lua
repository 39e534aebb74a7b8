--[==[ conformance
asks: a child that does not heed the cancellation gives its result
weight: B
needs: future:cancel
result: {"ok":true,"result":"done all the same"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  {
  ChildWorkflowExecutionStarted
  WorkflowExecutionSignaled signalName="up"
  }
  RequestCancelExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID/child" childWorkflowOnly=true
  {
  ExternalWorkflowExecutionCancelRequested
  ChildWorkflowExecutionCompleted result=["done all the same"]
  }
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted
  Task
  SignalExternalWorkflowExecutionInitiated signalName="up"
  {
  ExternalWorkflowExecutionSignaled
  WorkflowExecutionCancelRequested
  }
  WorkflowExecutionCompleted result=["done all the same"]
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/cancel_wait_completed.child", function(parent)
  return ml.shield(function()
    ml.external(parent):signal("up")
    ml.await(ml.cancel_requested)
    return "done all the same"
  end)
end)
ml.workflow("child_workflow/cancel_wait_completed", function()
  local id = ml.info().workflow_id
  local future = ml.child("child_workflow/cancel_wait_completed.child", { id = id .. "/child", cancel = "wait" }):async(id)
  ml.channel("up"):receive()
  future:cancel()
  local ok, result = pcall(future.await, future)
  return { ok = ok, result = result }
end)
