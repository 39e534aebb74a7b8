--[==[ conformance
asks: a workflow updates itself through an activity that is a client
weight: B
needs: ml.update run:update
result: {"answer":"updated","said":"hello"}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  Task
  WorkflowExecutionUpdateAccepted acceptedRequest.input.args=["hello"]
  WorkflowExecutionUpdateCompleted outcome.success=["updated"]
  ActivityTaskStarted
  ActivityTaskCompleted result=["updated"]
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local call = ml.activity("update_self.call", { timeout = "20s" }, function() return ml.client.run(ml.info().workflow_id):update("say", "hello") end)

ml.workflow("update/self", function()
  local said
  ml.update("say", function(text)
    said = text
    return "updated"
  end)
  local answer = call()
  return { answer = answer, said = said }
end)
