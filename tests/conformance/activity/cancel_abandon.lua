--[==[ conformance
asks: a cancelled future at once; the activity goes on, and sees no cancellation
weight: A
needs: future:cancel
result: {"type":"ActivityFailure","cause":"Canceled","told":"not cancelled"}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  WorkflowExecutionSignaled signalName="running"
  Task
  WorkflowExecutionSignaled signalName="told" input=["not cancelled"]
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local stays = ml.activity("abandon.stays", { timeout = "20s", cancel = "abandon", heartbeat = "1s", retry = { max_attempts = 1 } }, function()
  local run = ml.client.run(ml.info().workflow_id)
  run:signal("running")
  ml.shield(function()
    for i = 1, 20 do
      ml.heartbeat(i)
      ml.sleep("50ms")
    end
    run:signal("told", ml.cancel_requested() and "cancelled" or "not cancelled")
    ml.sleep("5s") -- the workflow ends first
  end)
end)

ml.workflow("activity/cancel_abandon", function()
  local future = stays:async()
  ml.channel("running"):receive()
  future:cancel()
  local _, e = pcall(future.await, future)
  local _, told = ml.channel("told"):receive()
  return { type = e.type, cause = e.cause.type, told = told }
end)
