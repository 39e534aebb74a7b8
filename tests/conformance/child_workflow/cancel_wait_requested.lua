--[==[ conformance
asks: the wait for the child ends once the request to cancel is recorded, while the child still runs
weight: B
needs: future:cancel
result: {"type":"ChildWorkflowFailure","cause":"Canceled"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  {
  ChildWorkflowExecutionStarted
  WorkflowExecutionSignaled signalName="up"
  }
  RequestCancelExternalWorkflowExecutionInitiated
  ExternalWorkflowExecutionCancelRequested workflowExecution.workflowId="$ID/child"
  Task
  SignalExternalWorkflowExecutionInitiated signalName="finish"
  {
  ExternalWorkflowExecutionSignaled
  TimerStarted
  ChildWorkflowExecutionCompleted
  TimerFired
  }
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted
  Task
  SignalExternalWorkflowExecutionInitiated signalName="up"
  {
  ExternalWorkflowExecutionSignaled
  WorkflowExecutionCancelRequested
  WorkflowExecutionSignaled signalName="finish"
  }
  WorkflowExecutionCompleted result=["cancelled"]
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/cancel_wait_requested.child", function(parent)
  return ml.shield(function()
    ml.external(parent):signal("up")
    ml.channel("finish"):receive()
    return ml.cancel_requested() and "cancelled" or "not cancelled"
  end)
end)
ml.workflow("child_workflow/cancel_wait_requested", function()
  local id = ml.info().workflow_id
  local options = { id = id .. "/child", cancel = "wait_requested", parent_close = "abandon" }
  local future = ml.child("child_workflow/cancel_wait_requested.child", options):async(id)
  ml.channel("up"):receive()
  future:cancel()
  local _, e = pcall(future.await, future)
  ml.external(id .. "/child"):signal("finish")
  ml.sleep("500ms") -- the child ends meanwhile
  return { type = e.type, cause = e.cause.type }
end)
