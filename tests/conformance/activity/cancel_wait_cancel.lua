--[==[ conformance
asks: the future ends only when the activity has acknowledged the cancellation
weight: A
needs: future:cancel
result: {"type":"ActivityFailure","cause":"Canceled","cleaned":true}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled heartbeatTimeout="1s"
  WorkflowExecutionSignaled signalName="running"
  Task
  ActivityTaskCancelRequested scheduledEventId=5
  WorkflowExecutionSignaled signalName="cleaned"
  Task
  ActivityTaskStarted attempt=1
  ActivityTaskCanceled latestCancelRequestedEventId=10
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local told = ml.activity("wait_cancel.told", { timeout = "20s", heartbeat = "1s", cancel = "wait", retry = { max_attempts = 1 } }, function()
  local run = ml.client.run(ml.info().workflow_id)
  run:signal("running")
  ml.shield(function()
    for i = 1, 200 do
      ml.heartbeat(i)
      ml.sleep("50ms")
      if ml.cancel_requested() then break end
    end
    if ml.cancel_requested() then run:signal("cleaned") end
    ml.sleep("300ms")
  end)
  ml.sleep("1s") -- here it is told
end)

ml.workflow("activity/cancel_wait_cancel", function()
  local cleaned = false
  ml.on_signal("cleaned", function() cleaned = true end)
  local future = told:async()
  ml.channel("running"):receive()
  future:cancel()
  local _, e = pcall(future.await, future)
  return { type = e.type, cause = e.cause.type, cleaned = cleaned }
end)
