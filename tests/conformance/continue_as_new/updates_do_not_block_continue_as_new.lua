--[==[ conformance
asks: an update that comes while the run continues as new is answered by the new run
weight: B
needs: ml.continue_as_new ml.update
start: 1
embedded: an update that waits while its run continues as new is refused there, and the caller asks again
steps:
  wait WorkflowTaskStarted
  sleep 0.2
  update which -> 2
  signal finish
result: 2
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded
  WorkflowExecutionContinuedAsNew input=[2]
events @2:
  WorkflowExecutionStarted
  Task
  Task?
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionUpdateCompleted outcome.success=[2]
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted result=[2]
]==]
local ml = require "moonloop"
local slow = ml.local_activity("updates_do_not_block.slow", { timeout = "5s" }, function() ml.sleep("800ms") end)

ml.workflow("continue_as_new/updates_do_not_block_continue_as_new", function(n)
  if n == 1 then
    slow()
    ml.continue_as_new(2)
  end
  ml.update("which", function() return n end)
  ml.channel("finish"):receive()
  return n
end)
