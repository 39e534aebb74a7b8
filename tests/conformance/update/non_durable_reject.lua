--[==[ conformance
asks: updates that are refused leave no event at all
weight: A
needs: ml.update
steps:
  wait WorkflowTaskCompleted
  update add -1 -> error "negative"
  update add -2 -> error "negative"
  update nothing 1 -> error "nothing"
  signal finish
result: 0
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("update/non_durable_reject", function()
  local sum = 0
  ml.update("add", function(n) sum = sum + n end, { validator = function(n) if n < 0 then ml.fail("negative") end end })
  ml.channel("finish"):receive()
  return sum
end)
