--[==[ conformance
asks: five attempts in the worker; one marker with the last failure
weight: A
needs: ml.local_activity ml.fail
result: {"message":"attempt 5","type":"Wanted"}
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.attempt=5 failure.message="attempt 5" failure.applicationFailureInfo.type="Wanted" details.result=null
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local fails = ml.local_activity("local_retry.fails", { timeout = "5s", retry = { initial = "10ms", backoff = 1, max_attempts = 5 } }, function()
  ml.fail("attempt " .. ml.info().attempt, { type = "Wanted" })
end)

ml.workflow("local_activity/retry_on_error", function()
  local _, e = pcall(fails)
  return { message = e.cause.message, type = e.cause.type }
end)
