--[==[ conformance
asks: a start that names a build goes to it, whatever is current
weight: B
embedded: versions of workers are the server's
worker: --deployment conformance-$UNIQUE --build-id one
steps:
  python current_one
  wait WorkflowTaskCompleted
  python current_two
  python start_on_one
  signal go
result: "done"
events:
  WorkflowExecutionStarted
  Task deploymentVersion.buildId="one"
  WorkflowExecutionSignaled
  Task deploymentVersion.buildId="one"
  WorkflowExecutionCompleted
events /override:
  WorkflowExecutionStarted versioningOverride.pinned.version.buildId="one"
  Task deploymentVersion.buildId="one"
  WorkflowExecutionTerminated
events /new:
  WorkflowExecutionStarted
  Task deploymentVersion.buildId="two"
  WorkflowExecutionTerminated
]==]
local ml = require "moonloop"
ml.workflow("deployment_versioning/routing_with_override", function()
  ml.channel("go"):receive()
  return "done"
end)
