--[==[ conformance
asks: one request starts a run and signals it; the second finds it open and only signals
weight: A
needs: ml.client.start
result: {"first":false,"second":true,"result":["a","b"]}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  ActivityTaskStarted
  ActivityTaskCompleted
  Task
  WorkflowExecutionCompleted
events /target:
  WorkflowExecutionStarted workflowType.name="signal/signal_with_start.target" input=["in"]
  WorkflowExecutionSignaled signalName="add" input=["a"]
  {
  WorkflowTaskScheduled?
  WorkflowTaskStarted?
  WorkflowTaskCompleted?
  WorkflowExecutionSignaled signalName="add" input=["b"]
  }
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local start = ml.activity("signal_with_start.start", { timeout = "30s", retry = { max_attempts = 1 } }, function()
  local info = ml.info()
  local options = {
    id = info.workflow_id .. "/target", task_queue = info.task_queue, input = "in", signal = "add", signal_input = "a", on_open = "use_existing",
  }
  local first = ml.client.start("signal/signal_with_start.target", options)
  options.signal_input = "b"
  local second = ml.client.start("signal/signal_with_start.target", options)
  return { first = first.existing or false, second = second.existing or false, result = second:result() }
end)

ml.workflow("signal/signal_with_start.target", function()
  local got, channel = ml.list {}, ml.channel("add")
  for i = 1, 2 do
    local _, value = channel:receive()
    got[i] = value
  end
  return got
end)
ml.workflow("signal/signal_with_start", function() return start() end)
