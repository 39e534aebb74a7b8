--[==[ conformance
asks: the result of a child
weight: A
needs: ml.child
result: {"child":{"n":42}}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated workflowId="$ID/child" workflowType.name="child_workflow/result.child" input=[21]
    parentClosePolicy="PARENT_CLOSE_POLICY_TERMINATE"
  ChildWorkflowExecutionStarted workflowExecution.workflowId="$ID/child"
  Task
  ChildWorkflowExecutionCompleted result=[{"n":42}] initiatedEventId=5
  Task
  WorkflowExecutionCompleted result=[{"child":{"n":42}}]
events /child:
  WorkflowExecutionStarted parentWorkflowExecution.workflowId="$ID" parentInitiatedEventId=5 input=[21]
  Task
  TimerStarted
  TimerFired
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/result.child", function(n)
  ml.sleep("200ms")
  return { n = n * 2 }
end)
ml.workflow("child_workflow/result", function()
  return { child = ml.child("child_workflow/result.child", { id = ml.info().workflow_id .. "/child" })(21) }
end)
