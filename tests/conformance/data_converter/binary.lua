--[==[ conformance
asks: bytes travel as binary/plain, unchanged
weight: A
needs: ml.bytes
steps:
  wait WorkflowExecutionCompleted
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled input.0.encoding="binary/plain" input.0.data="\\xff\\xfe\u0000\\xef"
  ActivityTaskStarted
  ActivityTaskCompleted result.0.encoding="binary/plain" result.0.data="\\xff\\xfe\u0000\\xef"
  Task
  WorkflowExecutionCompleted result.0.encoding="binary/plain" result.0.data="\\xff\\xfe\u0000\\xef"
]==]
local ml = require "moonloop"
local echo = ml.activity("binary.echo", { timeout = "20s" }, function(bytes) return bytes end)

ml.workflow("data_converter/binary", function() return echo(ml.bytes "\xff\xfe\0\xef") end)
