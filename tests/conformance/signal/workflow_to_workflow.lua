--[==[ conformance
asks: a workflow signals another that is not its child; one that is not there is an error
weight: B
needs: ml.external
result: {"ok":false,"told":"from the other","wrong":true}
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated
  {
  ChildWorkflowExecutionStarted
  WorkflowExecutionSignaled signalName="told" input=["from the other"] externalWorkflowExecution.workflowId="$ID/other"
  ChildWorkflowExecutionCompleted
  }
  SignalExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID/nobody" signalName="told"
  SignalExternalWorkflowExecutionFailed cause="SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"
  Task
  WorkflowExecutionCompleted
events /other:
  WorkflowExecutionStarted
  Task
  SignalExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID" signalName="told" input=["from the other"] childWorkflowOnly=null
  ExternalWorkflowExecutionSignaled workflowExecution.workflowId="$ID"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("signal/workflow_to_workflow.other", function(id) ml.external(id):signal("told", "from the other") end)
ml.workflow("signal/workflow_to_workflow", function()
  local id = ml.info().workflow_id
  local other = ml.child("signal/workflow_to_workflow.other", { id = id .. "/other", parent_close = "abandon" }):start(id)
  local _, told = ml.channel("told"):receive()
  other:result()
  local ok, e = pcall(function() ml.external(id .. "/nobody"):signal("told") end)
  return { told = told, ok = ok, wrong = e ~= nil }
end)
