--[==[ conformance
asks: a query with arguments that its handler cannot use is an error of the caller; more than it takes are ignored
weight: B
needs: ml.query
steps:
  wait WorkflowTaskCompleted
  query plus "text" -> error "attempt to"
  query plus -> error "attempt to"
  query plus 2 3 -> 12
  signal finish
result: "done"
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("query/unexpected_arguments", function()
  ml.query("plus", function(n) return n + 10 end)
  ml.channel("finish"):receive()
  return "done"
end)
