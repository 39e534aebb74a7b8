--[==[ conformance
asks: a caller begins an update, does something else, and then waits for its result
weight: A
needs: ml.update
steps:
  wait WorkflowTaskCompleted
  update wait "a" -> later one
  wait WorkflowExecutionUpdateAccepted
  signal go "b"
  answer one -> "a b"
  signal finish
result: "done"
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionSignaled signalName="go"
  Task
  WorkflowExecutionUpdateCompleted outcome.success=["a b"]
  WorkflowExecutionSignaled signalName="finish"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("update/basic_async", function()
  ml.update("wait", function(text)
    local _, more = ml.channel("go"):receive()
    return text .. " " .. more
  end)
  ml.channel("finish"):receive()
  return "done"
end)
