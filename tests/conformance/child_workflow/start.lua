--[==[ conformance
asks: a start waits until the child has started, and gives its workflow id and its run id
weight: A
needs: child:start
steps:
  wait /child:WorkflowExecutionCompleted
result: {"id":"$ID/child","run_id":36}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated parentClosePolicy="PARENT_CLOSE_POLICY_ABANDON"
  ChildWorkflowExecutionStarted workflowExecution.workflowId="$ID/child" workflowType.name="child_workflow/start.child"
  Task
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted parentWorkflowExecution.workflowId="$ID"
  Task
  TimerStarted
  TimerFired
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/start.child", function() ml.sleep("500ms") end)
ml.workflow("child_workflow/start", function()
  local handle = ml.child("child_workflow/start.child", { id = ml.info().workflow_id .. "/child", parent_close = "abandon" }):start()
  return { id = handle.id, run_id = #handle.run_id }
end)
