--[==[ conformance
asks: a worker stops while a local activity runs: the next one has its result, once
weight: B
needs: ml.local_activity
options: {"taskTimeout":"2s"}
worker:
steps:
  wait WorkflowTaskStarted
  sleep 0.3
  worker restart
result: "slept"
events:
  WorkflowExecutionStarted
  TaskFailed?
  Task
  MarkerRecorded details.data.0.seq=1 details.result=["slept"]
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local slow = ml.local_activity("after_shutdown.slow", { timeout = "20s" }, function()
  ml.sleep("1s")
  return "slept"
end)

ml.workflow("local_activity/complete_after_shutdown", function() return slow() end)
