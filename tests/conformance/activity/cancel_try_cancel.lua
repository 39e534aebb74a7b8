--[==[ conformance
asks: the workflow goes on at once; the activity is told by its heartbeat
weight: A
needs: future:cancel
result: {"type":"ActivityFailure","cause":"Canceled","told":"cancelled"}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  WorkflowExecutionSignaled signalName="running"
  Task
  ActivityTaskCancelRequested scheduledEventId=5
  WorkflowExecutionSignaled signalName="told" input=["cancelled"]
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local told = ml.activity("try_cancel.told", { timeout = "20s", heartbeat = "1s", retry = { max_attempts = 1 } }, function()
  local run = ml.client.run(ml.info().workflow_id)
  run:signal("running")
  ml.shield(function()
    for i = 1, 200 do
      ml.heartbeat(i)
      ml.sleep("50ms")
      if ml.cancel_requested() then break end
    end
    run:signal("told", ml.cancel_requested() and "cancelled" or "not cancelled")
    ml.sleep("5s") -- the workflow ends first
  end)
end)

ml.workflow("activity/cancel_try_cancel", function()
  local future = told:async()
  ml.channel("running"):receive()
  future:cancel()
  local _, e = pcall(future.await, future)
  local _, text = ml.channel("told"):receive()
  return { type = e.type, cause = e.cause.type, told = text }
end)
