--[==[ conformance
asks: cancelled while it waits for its next attempt: no attempt follows
weight: B
needs: future:cancel
result: {"type":"ActivityFailure","cause":"Canceled"}
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.seq=2 details.data.0.activity_type="cancel_failing.short"
  MarkerRecorded details.data.0.seq=1 failure.canceledFailureInfo={}
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local fails = ml.local_activity("cancel_failing.fails", { timeout = "20s", retry = { initial = "2s", backoff = 1 } }, function() ml.fail("again") end)
local short = ml.local_activity("cancel_failing.short", { timeout = "5s" }, function() ml.sleep("100ms") end)

ml.workflow("local_activity/cancel_failing", function()
  local future = fails:async()
  short()
  future:cancel()
  local _, e = pcall(future.await, future)
  return { type = e.type, cause = e.cause.type }
end)
