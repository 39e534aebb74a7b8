--[==[ conformance
asks: a child inside a signal's handler
weight: A
needs: ml.on_signal ml.child
steps:
  wait WorkflowTaskCompleted
  signal go "x"
result: "x from the child"
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled
  Task
  StartChildWorkflowExecutionInitiated workflowId="$ID/child" input=["x"]
  {
  ChildWorkflowExecutionStarted
  ChildWorkflowExecutionCompleted result=["x from the child"]
  }
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted parentWorkflowExecution.workflowId="$ID" input=["x"]
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("signal/child_workflow.child", function(text) return text .. " from the child" end)
ml.workflow("signal/child_workflow", function()
  local got
  ml.on_signal("go", function(text) got = ml.child("signal/child_workflow.child", { id = ml.info().workflow_id .. "/child" })(text) end)
  ml.await(function() return got end)
  return got
end)
