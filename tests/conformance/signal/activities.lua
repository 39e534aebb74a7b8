--[==[ conformance
asks: activities inside a signal's handler
weight: A
needs: ml.on_signal activity:async
steps:
  wait WorkflowTaskCompleted
  signal go 3
result: [2,4,6]
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled signalName="go" input=[3]
  Task
  ActivityTaskScheduled activityId="1" input=[1]
  ActivityTaskScheduled activityId="2" input=[2]
  ActivityTaskScheduled activityId="3" input=[3]
  {
  ActivityTaskStarted scheduledEventId=9
  ActivityTaskCompleted result=[2]
  ActivityTaskStarted scheduledEventId=10
  ActivityTaskCompleted result=[4]
  ActivityTaskStarted scheduledEventId=11
  ActivityTaskCompleted result=[6]
  }
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local double = ml.activity("signal_activities.double", { timeout = "20s" }, function(n) return n * 2 end)

ml.workflow("signal/activities", function()
  local got
  ml.on_signal("go", function(n)
    local all = {}
    for i = 1, n do all[i] = double:async(i) end
    got = ml.all(all)
  end)
  ml.await(function() return got end)
  return got
end)
