--[==[ conformance
asks: what succeeds after failures is recorded alone, what fails for good with its failure
weight: A
needs: ml.local_activity
result: {"good":"attempt 3","bad":"no"}
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.seq=1 details.data.0.attempt=3 details.result=["attempt 3"] failure=null
  MarkerRecorded details.data.0.seq=2 failure.message="no" details.result=null
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local good = ml.local_activity("success.good", { timeout = "5s", retry = { initial = "10ms" } }, function()
  if ml.info().attempt < 3 then ml.fail("not yet") end
  return "attempt " .. ml.info().attempt
end)
local bad = ml.local_activity("success.bad", { timeout = "5s", retry = { max_attempts = 1 } }, function() ml.fail("no") end)

ml.workflow("local_activity/one_success_one_fail", function()
  local text = good()
  local _, e = pcall(bad)
  return { good = text, bad = e.cause.message }
end)
