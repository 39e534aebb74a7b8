--[==[ conformance
asks: the same type again with new input; memo, search attributes and time-outs come along
weight: A
needs: ml.continue_as_new
start: {"n":1}
options: {"memo":{"note":"kept"},"searchAttributes":{"MlKeyword":"kept"}}
result: {"n":3,"note":"kept","keyword":"kept"}
events:
  WorkflowExecutionStarted input=[{"n":1}]
  Task
  WorkflowExecutionContinuedAsNew input=[{"n":2}] workflowType.name="continue_as_new/continue_as_same" initiator="CONTINUE_AS_NEW_INITIATOR_WORKFLOW"
events @2:
  WorkflowExecutionStarted input=[{"n":2}] memo.fields.note="kept"
  Task
  WorkflowExecutionContinuedAsNew input=[{"n":3}]
events @3:
  WorkflowExecutionStarted input=[{"n":3}] memo.fields.note="kept" searchAttributes.indexedFields.MlKeyword="kept"
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("continue_as_new/continue_as_same", function(state)
  if state.n < 3 then ml.continue_as_new { n = state.n + 1 } end
  return { n = state.n, note = ml.info().memo.note, keyword = ml.search_attributes().MlKeyword }
end)
