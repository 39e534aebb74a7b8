--[==[ conformance
asks: a validator does not run on replay
weight: A
needs: ml.update
steps:
  wait WorkflowTaskCompleted
  update add 1 -> 1
  query validated -> 1
  worker restart
  until validated -> 0
  update add 2 -> 3
  query validated -> 1
  signal finish
result: 3
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionUpdateCompleted
  Task
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionUpdateCompleted
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("update/validation_replay", function()
  local sum, validated = 0, 0
  ml.query("validated", function() return validated end)
  ml.update("add", function(n)
    sum = sum + n
    return sum
  end, { validator = function() validated = validated + 1 end })
  ml.channel("finish"):receive()
  return sum
end)
