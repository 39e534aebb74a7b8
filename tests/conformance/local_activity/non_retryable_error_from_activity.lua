--[==[ conformance
asks: a failure that says it is not retryable ends the attempts
weight: A
needs: ml.local_activity ml.fail
result: {"message":"attempt 1","retryable":false}
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.attempt=1 failure.message="attempt 1" failure.applicationFailureInfo.nonRetryable=true
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local fails = ml.local_activity("final.fails", { timeout = "5s", retry = { initial = "10ms", max_attempts = 5 } }, function()
  ml.fail("attempt " .. ml.info().attempt, { retryable = false })
end)

ml.workflow("local_activity/non_retryable_error_from_activity", function()
  local _, e = pcall(fails)
  return { message = e.cause.message, retryable = e.cause.retryable }
end)
