--[==[ conformance
asks: a query that no worker can answer ends at its deadline, for the caller of the official client and for ours
weight: A
embedded: a query needs no worker there: the command that asks answers by itself
steps:
  wait WorkflowTaskCompleted
  query n -> 1
  worker stop
  python query_without_worker
  worker start
  query n -> 1
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
ml.workflow("query/timeout_due_to_no_active_workers", function()
  ml.query("n", function() return 1 end)
  ml.channel("finish"):receive()
  return "done"
end)
