--[==[ conformance
asks: the id of a closed run that must not be used again is an error of the start
weight: A
needs: child:start
result: {"ok":false,"type":"ChildWorkflowFailure"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  {
  ChildWorkflowExecutionStarted
  ChildWorkflowExecutionCompleted
  }
  StartChildWorkflowExecutionInitiated workflowIdReusePolicy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE" workflowId="$ID/child"
  StartChildWorkflowExecutionFailed workflowId="$ID/child" cause="START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/throws_on_start.child", function() return 1 end)
ml.workflow("child_workflow/throws_on_start", function()
  local id = ml.info().workflow_id .. "/child"
  ml.child("child_workflow/throws_on_start.child", { id = id })()
  local again = ml.child("child_workflow/throws_on_start.child", { id = id, id_reuse = "reject" })
  local ok, e = pcall(again.start, again)
  return { ok = ok, type = e.type }
end)
