--[==[ conformance
asks: a local activity longer than the workflow task's time-out: tasks are completed and begun again meanwhile, its marker comes at the end
weight: A
needs: ml.local_activity
options: {"taskTimeout":"2s"}
embedded: its workflow tasks have no time-out that a task would have to beat
result: "slept"
events:
  WorkflowExecutionStarted workflowTaskTimeout="2s"
  Task
  Task
  Task
  MarkerRecorded details.result=["slept"]
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local slow = ml.local_activity("eventually.slow", { timeout = "20s" }, function()
  ml.sleep("4s")
  return "slept"
end)

ml.workflow("local_activity/complete_eventually", function() return slow() end)
