--[==[ conformance
asks: an activity that ends between the scheduling and the start of a workflow task; the history replays
weight: B
embedded: there an activity ends in its own commit, never between the two events
steps:
  wait ActivityTaskScheduled
  sleep 0.3
  worker stop
  signal note
  wait WorkflowTaskScheduled 2
  python complete_activity
  worker start
  until got -> "from outside"
  worker restart
  query got -> "from outside"
  signal finish
result: "from outside"
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  WorkflowExecutionSignaled signalName="note"
  WorkflowTaskScheduled
  ActivityTaskStarted
  ActivityTaskCompleted
  WorkflowTaskStarted
  WorkflowTaskCompleted
  WorkflowExecutionSignaled signalName="finish"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local later = ml.activity("start_race.later", { id = "later", timeout = "60s" }, function() return ml.complete_later() end)

ml.workflow("bugs/go/activity_start_race", function()
  local got
  ml.query("got", function() return got end)
  got = later()
  ml.channel("finish"):receive()
  return got
end)
