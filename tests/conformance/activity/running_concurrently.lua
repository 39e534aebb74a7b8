--[==[ conformance
asks: two activities begun in one workflow task, both results
weight: A
needs: activity:async
result: [100,200]
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled activityId="1" input=[10]
  ActivityTaskScheduled activityId="2" input=[20]
  {
  ActivityTaskStarted scheduledEventId=5
  ActivityTaskCompleted result=[100]
  ActivityTaskStarted scheduledEventId=6
  ActivityTaskCompleted result=[200]
  }
  WorkflowExecutionCompleted result=[[100,200]]
]==]
local ml = require "moonloop"
local tenfold = ml.activity("concurrent.tenfold", { timeout = "60s" }, function(n) return n * 10 end)

ml.workflow("activity/running_concurrently", function()
  local a, b = tenfold:async(10), tenfold:async(20)
  return { a:await(), b:await() }
end)
