--[==[ conformance
asks: five attempts, then the last error comes back; one Scheduled and one Started event for all of them
weight: A
needs: ml.fail
result: failed Wanted "activity attempt 5 failed"
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled retryPolicy.maximumAttempts=5 retryPolicy.backoffCoefficient=1
  ActivityTaskStarted attempt=5 lastFailure.message="activity attempt 4 failed"
  ActivityTaskFailed failure.message="activity attempt 5 failed" failure.applicationFailureInfo.type="Wanted" retryState="RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED"
  Task
  WorkflowExecutionFailed failure.message="activity attempt 5 failed" failure.applicationFailureInfo.type="Wanted"
]==]
local ml = require "moonloop"
local fails = ml.activity("retry.fails", { timeout = "60s", retry = { initial = "10ms", backoff = 1, max_attempts = 5 } }, function()
  ml.fail("activity attempt " .. ml.info().attempt .. " failed", { type = "Wanted" })
end)

ml.workflow("activity/retry_on_error", function()
  local ok, e = pcall(fails)
  assert(not ok and e.type == "ActivityFailure" and e.retry_state)
  ml.fail(e.cause)
end)
