--[==[ conformance
asks: a caller that waits for the acceptance only gets it while the handler waits; the outcome can be asked for later, also of a failure
weight: A
needs: ml.update
steps:
  wait WorkflowTaskCompleted
  update wait#1 "a" -> accepted
  update wait#2 "bad" -> accepted
  update wait#3 "refused" -> error "refused"
  signal go
  update wait#1 "a" -> "a"
  update wait#2 "bad" -> error "it fails"
  signal finish
result: "done"
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted acceptedRequest.input.args=["a"] protocolInstanceId="$ID-1"
  Task
  WorkflowExecutionUpdateAccepted acceptedRequest.input.args=["bad"] protocolInstanceId="$ID-2"
  WorkflowExecutionSignaled signalName="go"
  Task
  WorkflowExecutionUpdateCompleted outcome.success=["a"] meta.updateId="$ID-1"
  WorkflowExecutionUpdateCompleted outcome.failure.message="it fails" outcome.failure.applicationFailureInfo.type="Wanted" meta.updateId="$ID-2"
  WorkflowExecutionSignaled signalName="finish"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("update/async_accepted", function()
  local open = false
  ml.on_signal("go", function() open = true end)
  ml.update("wait", function(text)
    ml.await(function() return open end)
    if text == "bad" then ml.fail("it fails", { type = "Wanted" }) end
    return text
  end, { validator = function(text) if text == "refused" then ml.fail("refused") end end })
  ml.channel("finish"):receive()
  return "done"
end)
