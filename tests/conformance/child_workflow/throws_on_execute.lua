--[==[ conformance
asks: a child that fails is an error of its parent, with the child's failure as its cause
weight: A
needs: ml.fail
result: failed Wanted "the child fails"
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  {
  ChildWorkflowExecutionStarted
  ChildWorkflowExecutionFailed failure.message="the child fails" failure.applicationFailureInfo.type="Wanted"
    failure.applicationFailureInfo.details=[{"why":1}] retryState="RETRY_STATE_RETRY_POLICY_NOT_SET"
  }
  WorkflowExecutionFailed failure.message="the child fails"
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/throws_on_execute.child", function() ml.fail("the child fails", { type = "Wanted", details = { why = 1 } }) end)
ml.workflow("child_workflow/throws_on_execute", function()
  local ok, e = pcall(ml.child("child_workflow/throws_on_execute.child"))
  assert(not ok and e.type == "ChildWorkflowFailure")
  ml.fail(e.cause)
end)
