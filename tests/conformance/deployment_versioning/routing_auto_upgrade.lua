--[==[ conformance
asks: a run that was started as auto-upgrading moves to the build that becomes current
weight: B
embedded: versions of workers are the server's
worker: --deployment conformance-$UNIQUE --build-id one
options: {"version":"auto_upgrade"}
steps:
  python current_one
  wait WorkflowTaskCompleted
  python current_two
  signal go
result: "done"
events:
  WorkflowExecutionStarted
  Task deploymentVersion.buildId="one"
  WorkflowExecutionSignaled
  Task deploymentVersion.buildId="two"
  WorkflowExecutionCompleted
events /new:
  WorkflowExecutionStarted
  Task deploymentVersion.buildId="two"
  WorkflowExecutionTerminated
]==]
local ml = require "moonloop"
ml.workflow("deployment_versioning/routing_auto_upgrade", function()
  ml.channel("go"):receive()
  return "done"
end)
