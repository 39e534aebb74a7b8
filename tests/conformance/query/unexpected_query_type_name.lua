--[==[ conformance
asks: a query of a name that nobody answers to is an error of the caller, which names those that there are; the run goes on
weight: A
needs: ml.query
steps:
  wait WorkflowTaskCompleted
  query nonexistent -> error "known"
  query nonexistent -> error "nonexistent"
  query known -> 1
  signal finish
result: "done"
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled signalName="finish"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("query/unexpected_query_type_name", function()
  ml.query("known", function() return 1 end)
  ml.channel("finish"):receive()
  return "done"
end)
