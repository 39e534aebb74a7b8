--[==[ conformance
asks: the same update id runs once, also when the second request comes while the first runs, and after its end
weight: A
needs: ml.update
steps:
  wait WorkflowTaskCompleted
  update bump#1 5 -> later first
  wait WorkflowExecutionUpdateAccepted
  update bump#1 5 -> later second
  signal go
  answer first -> 5
  answer second -> 5
  update bump#1 5 -> 5
  update bump#2 5 -> 10
  signal finish
result: 10
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted protocolInstanceId="$ID-1"
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionUpdateCompleted outcome.success=[5]
  Task
  WorkflowExecutionUpdateAccepted protocolInstanceId="$ID-2"
  WorkflowExecutionUpdateCompleted outcome.success=[10]
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("update/deduplication", function()
  local n, open = 0, false
  ml.on_signal("go", function() open = true end)
  ml.update("bump", function(k)
    ml.await(function() return open end)
    n = n + k
    return n
  end)
  ml.channel("finish"):receive()
  return n
end)
