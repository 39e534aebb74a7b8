--[==[ conformance
asks: a silent attempt times out, and the next one finds the details of the last heartbeat
weight: A
needs: ml.heartbeat
result: {"attempt":2,"before":{"at":7}}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled heartbeatTimeout="1s"
  ActivityTaskStarted attempt=2 lastFailure.timeoutFailureInfo.timeoutType="TIMEOUT_TYPE_HEARTBEAT"
  ActivityTaskCompleted
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local silent = ml.activity("heartbeating.silent", { timeout = "20s", heartbeat = "1s", retry = { initial = "10ms", max_attempts = 3 } }, function()
  local info = ml.info()
  if info.heartbeat_details then return { attempt = info.attempt, before = info.heartbeat_details } end
  ml.heartbeat { at = 7 }
  ml.sleep("10s")
end)

ml.workflow("activity/heartbeating", function() return silent() end)
