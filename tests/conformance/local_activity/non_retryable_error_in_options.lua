--[==[ conformance
asks: a failure type that the options list ends the attempts
weight: A
needs: ml.local_activity ml.fail
result: "attempt 1"
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.attempt=1 failure.message="attempt 1" failure.applicationFailureInfo.type="Hopeless"
    failure.applicationFailureInfo.nonRetryable=null
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local fails = ml.local_activity("listed.fails", { timeout = "5s", retry = { initial = "10ms", max_attempts = 5, non_retryable = { "Hopeless" } } }, function()
  ml.fail("attempt " .. ml.info().attempt, { type = "Hopeless" })
end)

ml.workflow("local_activity/non_retryable_error_in_options", function()
  local _, e = pcall(fails)
  return e.cause.message
end)
