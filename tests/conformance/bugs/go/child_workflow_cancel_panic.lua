--[==[ conformance
asks: the cancellation of a run that has open children cancels each of them once
weight: B
needs: ml.child
steps:
  wait ChildWorkflowExecutionStarted 3
  wait WorkflowTaskCompleted 2
  cancel
result: canceled
events:
  WorkflowExecutionStarted
  Task
  StartChildWorkflowExecutionInitiated workflowId="$ID/1"
  StartChildWorkflowExecutionInitiated workflowId="$ID/2"
  StartChildWorkflowExecutionInitiated workflowId="$ID/3"
  {
  ChildWorkflowExecutionStarted workflowExecution.workflowId="$ID/1"
  ChildWorkflowExecutionStarted workflowExecution.workflowId="$ID/2"
  ChildWorkflowExecutionStarted workflowExecution.workflowId="$ID/3"
  WorkflowExecutionCancelRequested
  }
  RequestCancelExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID/1"
  RequestCancelExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID/2"
  RequestCancelExternalWorkflowExecutionInitiated workflowExecution.workflowId="$ID/3"
  {
  ExternalWorkflowExecutionCancelRequested workflowExecution.workflowId="$ID/1"
  ExternalWorkflowExecutionCancelRequested workflowExecution.workflowId="$ID/2"
  ExternalWorkflowExecutionCancelRequested workflowExecution.workflowId="$ID/3"
  ChildWorkflowExecutionCanceled workflowExecution.workflowId="$ID/1"
  ChildWorkflowExecutionCanceled workflowExecution.workflowId="$ID/2"
  ChildWorkflowExecutionCanceled workflowExecution.workflowId="$ID/3"
  }
  WorkflowExecutionCanceled
]==]
local ml = require "moonloop"
ml.workflow("bugs/go/child_workflow_cancel_panic.child", function() ml.channel("never"):receive() end)
ml.workflow("bugs/go/child_workflow_cancel_panic", function()
  local all = {}
  for i = 1, 3 do
    all[i] = ml.child("bugs/go/child_workflow_cancel_panic.child", { id = ml.info().workflow_id .. "/" .. i, cancel = "wait" }):async()
  end
  ml.all(all)
end)
