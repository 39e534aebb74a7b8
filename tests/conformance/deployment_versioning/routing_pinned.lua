--[==[ conformance
asks: a run stays on the build that it began on when another becomes current; new runs go there
weight: B
embedded: versions of workers are the server's
worker: --deployment conformance-$UNIQUE --build-id one
steps:
  python current_one
  wait WorkflowTaskCompleted
  python current_two
  signal go
result: "done"
events:
  WorkflowExecutionStarted
  Task deploymentVersion.buildId="one" versioningBehavior="VERSIONING_BEHAVIOR_PINNED"
  WorkflowExecutionSignaled
  Task deploymentVersion.buildId="one"
  WorkflowExecutionCompleted
events /new:
  WorkflowExecutionStarted
  Task deploymentVersion.buildId="two"
  WorkflowExecutionTerminated
]==]
local ml = require "moonloop"
ml.workflow("deployment_versioning/routing_pinned", function()
  ml.channel("go"):receive()
  return "done"
end)
