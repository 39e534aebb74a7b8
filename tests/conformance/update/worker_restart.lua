--[==[ conformance
asks: the worker stops in the midst of an update's handler; the next one goes on with it, and the caller gets its answer
weight: A
needs: ml.update
steps:
  wait WorkflowTaskCompleted
  update slow#1 "x" -> accepted
  worker restart
  signal go
  update slow#1 "x" -> "x went on"
  signal finish
result: "done"
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionSignaled
  Task
  ActivityTaskScheduled
  ActivityTaskStarted
  ActivityTaskCompleted
  Task
  WorkflowExecutionUpdateCompleted outcome.success=["x went on"]
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local act = ml.activity("update_restart.act", { timeout = "20s" }, function(text) return text .. " went on" end)

ml.workflow("update/worker_restart", function()
  ml.update("slow", function(text)
    ml.channel("go"):receive()
    return act(text)
  end)
  ml.channel("finish"):receive()
  return "done"
end)
