--[==[ conformance
asks: a worker that stops cancels its local activities; one that heeds it leaves no marker, and runs again under the next worker
weight: B
needs: ml.local_activity
options: {"taskTimeout":"2s"}
start: "$FOLDER/told"
worker:
steps:
  wait WorkflowTaskStarted
  sleep 0.3
  worker restart
result: "told"
events:
  WorkflowExecutionStarted
  TaskFailed?
  Task
  MarkerRecorded details.data.0.seq=1 details.result=["told"]
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local slow = ml.local_activity("shutdown_cancels.slow", { timeout = "20s" }, function(path)
  if ml.fs.exists(path) then return ml.fs.read(path) end
  ml.shield(function()
    for _ = 1, 100 do
      ml.sleep("50ms")
      if ml.cancel_requested() then return ml.fs.write(path, "told") end
    end
  end)
  return "not told"
end)

ml.workflow("local_activity/shutdown_sends_cancellation", function(path) return slow(path) end)
