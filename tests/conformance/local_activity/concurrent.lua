--[==[ conformance
asks: several local activities at once, one marker each, in the order in which they ended
weight: A
needs: activity:async
result: ["slow","quick"]
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.seq=2 details.result=["quick"]
  MarkerRecorded details.data.0.seq=1 details.result=["slow"]
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local wait = ml.local_activity("concurrent.wait", { timeout = "5s" }, function(text, how_long)
  ml.sleep(how_long)
  return text
end)

ml.workflow("local_activity/concurrent", function()
  local both = ml.all { wait:async("slow", "400ms"), wait:async("quick", "10ms") }
  return both
end)
