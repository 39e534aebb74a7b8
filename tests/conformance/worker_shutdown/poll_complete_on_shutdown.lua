--[==[ conformance
asks: a worker that stops has its polls ended by the server: it is gone at once, and no task goes to a poll that nobody reads
weight: B
embedded: there are no polls
steps:
  wait WorkflowTaskCompleted
  python stop_quickly
  signal go 1
  worker start
  until count -> 1
  python stop_quickly
  signal go 2
  worker start
result: 2
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("worker_shutdown/poll_complete_on_shutdown", function()
  local n = 0
  ml.query("count", function() return n end)
  ml.on_signal("go", function() n = n + 1 end)
  ml.await(function() return n == 2 end)
  return n
end)
