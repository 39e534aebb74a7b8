--[==[ conformance
asks: a worker without the activity takes no task of it, also none that comes with a workflow task; another worker does
weight: B
embedded: there is one worker only
worker:
steps:
  wait ActivityTaskScheduled
  python serve_activity
result: "from another worker"
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  ActivityTaskStarted attempt=1 identity="another worker"
  ActivityTaskCompleted
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local remote = ml.activity("eager_activity.remote", { timeout = "20s" })

ml.workflow("eager_activity/non_remote_activities_worker", function() return remote() end)
