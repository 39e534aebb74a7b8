--[==[ conformance
asks: a signal with a value reaches the workflow
weight: A
needs: ml.on_signal
steps:
  wait WorkflowTaskCompleted
  signal arrive "hello"
result: "hello"
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled signalName="arrive" input=["hello"]
  Task
  WorkflowExecutionCompleted result=["hello"]
]==]
local ml = require "moonloop"
ml.workflow("signal/basic", function()
  local got
  ml.on_signal("arrive", function(text) got = text end)
  ml.await(function() return got end)
  return got
end)
