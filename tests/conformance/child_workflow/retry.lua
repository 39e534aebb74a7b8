--[==[ conformance
asks: a child with a retry policy runs three times; the parent sees the last failure only
weight: B
needs: ml.child
result: {"type":"ChildWorkflowFailure","cause":"attempt 3"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated retryPolicy.maximumAttempts=3
  ChildWorkflowExecutionStarted
  Task
  ChildWorkflowExecutionFailed failure.message="attempt 3" retryState="RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED"
  Task
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted attempt=3 continuedFailure.message="attempt 2" initiator="CONTINUE_AS_NEW_INITIATOR_RETRY"
  Task
  WorkflowExecutionFailed failure.message="attempt 3" retryState="RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED"
]==]
local ml = require "moonloop"
ml.workflow("child_workflow/retry.child", function() ml.fail("attempt " .. ml.info().attempt) end)
ml.workflow("child_workflow/retry", function()
  local options = { id = ml.info().workflow_id .. "/child", retry = { initial = "200ms", backoff = 1, max_attempts = 3 } }
  local _, e = pcall(ml.child("child_workflow/retry.child", options))
  return { type = e.type, cause = e.cause.message }
end)
