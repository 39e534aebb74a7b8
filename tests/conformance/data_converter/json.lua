--[==[ conformance
asks: values travel as json/plain and come back as they were: integers of 64 bits, floats, texts, empty lists and objects
weight: A
needs: ml.activity ml.list
start: {"spec":true}
result: {"big":9007199254740993,"float":1.0,"empty":[],"object":{},"text":"ü","input":{"spec":true}}
events:
  WorkflowExecutionStarted input.0.encoding="json/plain" input.0.data="{\"spec\":true}"
  Task
  ActivityTaskScheduled input.0.encoding="json/plain"
    input.0.data="{\"big\":9007199254740993,\"empty\":[],\"float\":1.0,\"input\":{\"spec\":true},\"object\":{},\"text\":\"ü\"}"
  ActivityTaskStarted
  ActivityTaskCompleted result.0.encoding="json/plain"
  Task
  WorkflowExecutionCompleted result.0.data="{\"big\":9007199254740993,\"empty\":[],\"float\":1.0,\"input\":{\"spec\":true},\"object\":{},\"text\":\"ü\"}"
]==]
local ml = require "moonloop"
local echo = ml.activity("json.echo", { timeout = "20s" }, function(v) return v end)

ml.workflow("data_converter/json", function(input)
  return echo { big = 9007199254740993, float = 1.0, empty = ml.list {}, object = {}, text = "ü", input = input }
end)
