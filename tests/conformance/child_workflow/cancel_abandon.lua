--[==[ conformance
asks: the wait for the child ends at once; the child is not asked to cancel
weight: B
needs: future:cancel
result: {"type":"ChildWorkflowFailure","cause":"Canceled"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated parentClosePolicy="PARENT_CLOSE_POLICY_ABANDON"
  {
  ChildWorkflowExecutionStarted
  WorkflowExecutionSignaled signalName="up"
  }
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
  WorkflowExecutionSignaled signalName="finish"
  }
  WorkflowExecutionCompleted result=["not cancelled"]
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/cancel_abandon.child", function(parent)
  ml.external(parent):signal("up")
  ml.channel("finish"):receive()
  return ml.cancel_requested() and "cancelled" or "not cancelled"
end)
ml.workflow("child_workflow/cancel_abandon", function()
  local id = ml.info().workflow_id
  local future = ml.child("child_workflow/cancel_abandon.child", { id = id .. "/child", cancel = "abandon", parent_close = "abandon" }):async(id)
  ml.channel("up"):receive()
  future:cancel()
  local _, e = pcall(future.await, future)
  ml.external(id .. "/child"):signal("finish")
  ml.sleep("500ms") -- the child ends meanwhile
  return { type = e.type, cause = e.cause.type }
end)
