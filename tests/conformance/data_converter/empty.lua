--[==[ conformance
asks: nil travels as binary/null, and null as JSON
weight: A
needs: ml.activity
result: {"nil":true,"null":true}
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled input.0.encoding="binary/null" input.0.data="" input.1.encoding="json/plain" input.1.data="null"
  ActivityTaskStarted
  ActivityTaskCompleted result.0.encoding="binary/null" result.1.encoding="json/plain"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local echo = ml.activity("empty.echo", { timeout = "20s" }, function(...) return ... end)

ml.workflow("data_converter/empty", function()
  local a, b = echo(nil, ml.null)
  return { ["nil"] = a == nil, null = b == ml.null }
end)
