--[==[ conformance
asks: an update with a validator: refused without an event, accepted and answered with two
weight: A
needs: ml.update
steps:
  wait WorkflowTaskCompleted
  update add -1 -> error "must not be negative"
  update add 3 -> 3
  update add 4 -> 7
  signal finish
result: 7
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted acceptedRequest.input.name="add" acceptedRequest.input.args=[3]
  WorkflowExecutionUpdateCompleted outcome.success=[3]
  Task
  WorkflowExecutionUpdateAccepted acceptedRequest.input.args=[4]
  WorkflowExecutionUpdateCompleted outcome.success=[7]
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted result=[7]
]==]
local ml = require "moonloop"
ml.workflow("update/basic", function()
  local sum = 0
  ml.update("add", function(n)
    sum = sum + n
    return sum
  end, { validator = function(n) if n < 0 then ml.fail("it must not be negative") end end })
  ml.channel("finish"):receive()
  return sum
end)
