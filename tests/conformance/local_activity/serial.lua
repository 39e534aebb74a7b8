--[==[ conformance
asks: three local activities after each other in one workflow task: three markers
weight: A
needs: ml.local_activity
result: 6
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.seq=1 details.result=[1]
  MarkerRecorded details.data.0.seq=2 details.result=[3]
  MarkerRecorded details.data.0.seq=3 details.result=[6]
  WorkflowExecutionCompleted result=[6]
]==]
local ml = require "moonloop"
local add = ml.local_activity("serial.add", { timeout = "5s" }, function(a, b) return a + b end)

ml.workflow("local_activity/serial", function()
  local sum = 0
  for i = 1, 3 do sum = add(sum, i) end
  return sum
end)
