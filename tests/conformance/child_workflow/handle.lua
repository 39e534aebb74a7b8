--[==[ conformance
asks: what a child's handle has: its workflow id, the id of its first run, result and signal
weight: B
needs: child:start handle:signal handle:result
result: {"id":"$ID/child","same_run":true,"result":"x"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated workflowId="$ID/child"
  ChildWorkflowExecutionStarted
  Task
  SignalExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID/child" signalName="go" input=["x"] childWorkflowOnly=true
  {
  ExternalWorkflowExecutionSignaled
  ChildWorkflowExecutionCompleted
  }
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/handle.child", function()
  local _, text = ml.channel("go"):receive()
  return { text = text, run = ml.info().run_id }
end)
ml.workflow("child_workflow/handle", function()
  local handle = ml.child("child_workflow/handle.child", { id = ml.info().workflow_id .. "/child" }):start()
  handle:signal("go", "x")
  local result = handle:result()
  return { id = handle.id, same_run = handle.run_id == result.run, result = result.text }
end)
