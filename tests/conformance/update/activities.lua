--[==[ conformance
asks: activities inside an update's handler
weight: A
needs: ml.update activity:async
steps:
  wait WorkflowTaskCompleted
  update sum 3 -> 12
  signal finish
result: 12
events:
  WorkflowExecutionStarted
  Task
  Task
  WorkflowExecutionUpdateAccepted acceptedRequest.input.name="sum" acceptedRequest.input.args=[3]
  ActivityTaskScheduled input=[1]
  ActivityTaskScheduled input=[2]
  ActivityTaskScheduled input=[3]
  {
  ActivityTaskStarted scheduledEventId=9
  ActivityTaskStarted scheduledEventId=10
  ActivityTaskStarted scheduledEventId=11
  ActivityTaskCompleted result=[2]
  ActivityTaskCompleted result=[4]
  ActivityTaskCompleted result=[6]
  }
  WorkflowExecutionUpdateCompleted outcome.success=[12] acceptedEventId=8
  WorkflowExecutionSignaled
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local double = ml.activity("update_activities.double", { timeout = "20s" }, function(n) return n * 2 end)

ml.workflow("update/activities", function()
  local total = 0
  ml.update("sum", function(n)
    local all = {}
    for i = 1, n do all[i] = double:async(i) end
    for _, v in ipairs((ml.all(all))) do total = total + v end
    return total
  end)
  ml.channel("finish"):receive()
  return total
end)
