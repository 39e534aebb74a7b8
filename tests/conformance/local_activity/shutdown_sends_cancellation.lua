--[==[ conformance
asks: a worker that stops cancels its local activities; one that heeds it leaves no marker, and runs again under the next worker
weight: B
needs: ml.local_activity
options: {"taskTimeout":"2s"}
worker:
steps:
  wait WorkflowTaskStarted
  sleep 0.3
  worker restart
result: "told"
events:
  WorkflowExecutionStarted
  {
  WorkflowTaskScheduled; WorkflowTaskStarted
  WorkflowTaskFailed?
  WorkflowExecutionSignaled signalName="told"
  }
  MarkerRecorded details.data.0.seq=1 details.result=["told"]
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local slow = ml.local_activity("shutdown_cancels.slow", { timeout = "20s" }, function()
  local run = ml.client.run(ml.info().workflow_id)
  for _, event in ipairs(run:history().events) do
    if event.eventType:find "SIGNALED" then return "told" end
  end
  ml.shield(function()
    for _ = 1, 100 do
      ml.sleep("50ms")
      if ml.cancel_requested() then return run:signal "told" end
    end
  end)
  return "not told"
end)

ml.workflow("local_activity/shutdown_sends_cancellation", function() return slow() end)
