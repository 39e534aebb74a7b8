--[==[ conformance
asks: a client in the worker's process gets the first workflow task with the answer to its start
weight: B
embedded: starts do not travel there
needs: ml.client.start
result: "started eagerly"
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  ActivityTaskStarted
  ActivityTaskCompleted
  Task
  WorkflowExecutionCompleted
events /target:
  WorkflowExecutionStarted eagerExecutionAccepted=true
  Task
  WorkflowExecutionCompleted result=["started eagerly"]
]==]
local ml = require "moonloop"
local start = ml.activity("eager_workflow.start", { timeout = "20s" }, function()
  local info = ml.info()
  return ml.client.start("eager_workflow/successful_start.target", { id = info.workflow_id .. "/target", task_queue = info.task_queue }):result()
end)

ml.workflow("eager_workflow/successful_start.target", function() return "started eagerly" end)
ml.workflow("eager_workflow/successful_start", function() return start() end)
