--[==[ conformance
asks: a child that is terminated is an error of its parent
weight: B
needs: run:terminate
result: {"type":"ChildWorkflowFailure","cause":"Terminated"}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  ChildWorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  {
  ActivityTaskStarted
  ActivityTaskCompleted
  ChildWorkflowExecutionTerminated
  }
  WorkflowExecutionCompleted
events /child:
  WorkflowExecutionStarted
  {
  Task?
  TaskFailed?
  WorkflowTaskScheduled?
  }
  WorkflowExecutionTerminated reason="for the test"
]==]
local ml = require "moonloop"
local terminate = ml.activity("throws_on_termination.terminate", { timeout = "20s" }, function(id) ml.client.run(id):terminate("for the test") end)

ml.workflow("child_workflow/throws_on_termination.child", function() ml.channel("never"):receive() end)
ml.workflow("child_workflow/throws_on_termination", function()
  local handle = ml.child("child_workflow/throws_on_termination.child", { id = ml.info().workflow_id .. "/child" }):start()
  terminate(handle.id)
  local _, e = pcall(handle.result, handle)
  return { type = e.type, cause = e.cause.type }
end)
