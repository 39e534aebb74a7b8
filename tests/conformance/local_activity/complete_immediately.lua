--[==[ conformance
asks: a local activity leaves a marker in the same workflow task
weight: A
needs: ml.local_activity
result: 3
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded markerName="core_local_activity" details.result=[3] details.data.0.activity_type="immediately.add" details.data.0.attempt=1
  WorkflowExecutionCompleted result=[3]
]==]
local ml = require "moonloop"
local add = ml.local_activity("immediately.add", { timeout = "5s" }, function(a, b) return a + b end)

ml.workflow("local_activity/complete_immediately", function() return add(1, 2) end)
