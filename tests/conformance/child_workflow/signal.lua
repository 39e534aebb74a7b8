--[==[ conformance
asks: a parent signals its child, which waits for it
weight: A
needs: handle:signal
result: "unblocked"
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  ChildWorkflowExecutionStarted
  Task
  SignalExternalWorkflowExecutionInitiated signalName="unblock" input=["unblocked"] childWorkflowOnly=true
  {
  ExternalWorkflowExecutionSignaled
  ChildWorkflowExecutionCompleted result=["unblocked"]
  }
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted
  {
  Task?
  WorkflowTaskScheduled?
  WorkflowExecutionSignaled signalName="unblock" externalWorkflowExecution.workflowId="$ID"
  }
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/signal.child", function()
  local _, text = ml.channel("unblock"):receive()
  return text
end)
ml.workflow("child_workflow/signal", function()
  local handle = ml.child("child_workflow/signal.child", { id = ml.info().workflow_id .. "/child" }):start()
  handle:signal("unblock", "unblocked")
  return handle:result()
end)
