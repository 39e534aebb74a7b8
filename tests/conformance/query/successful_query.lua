--[==[ conformance
asks: a query is answered by the state that signals made, while the run is open and after it; it leaves no event
weight: A
needs: ml.query
steps:
  wait WorkflowTaskCompleted
  query count -> 0
  signal increase
  signal increase
  until count -> 2
  query count 10 -> 12
  signal finish
result: 2
events:
  WorkflowExecutionStarted
  Task
  {
  WorkflowExecutionSignaled signalName="increase"
  WorkflowExecutionSignaled signalName="increase"
  }
  WorkflowExecutionSignaled signalName="finish"
  Task
  WorkflowExecutionCompleted result=[2]
]==]
local ml = require "moonloop"
ml.workflow("query/successful_query", function()
  local n = 0
  ml.on_signal("increase", function() n = n + 1 end)
  ml.query("count", function(more) return n + (more or 0) end)
  ml.channel("finish"):receive()
  return n
end)
