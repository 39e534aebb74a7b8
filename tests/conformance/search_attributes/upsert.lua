--[==[ conformance
asks: a workflow sets, changes and removes its search attributes
weight: A
needs: ml.search_attributes
options: {"searchAttributes":{"MlKeyword":"first","MlInt":1}}
result: {"MlKeyword":"second","MlBool":true}
events:
  WorkflowExecutionStarted
  Task
  UpsertWorkflowSearchAttributes searchAttributes.indexedFields.MlKeyword="second" searchAttributes.indexedFields.MlBool=true
  TimerStarted
  TimerFired
  Task
  UpsertWorkflowSearchAttributes searchAttributes.indexedFields.MlInt.encoding="binary/null"
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("search_attributes/upsert", function()
  ml.search_attributes { MlKeyword = "second", MlBool = true }
  ml.sleep("50ms")
  ml.search_attributes { MlInt = ml.null }
  return ml.search_attributes()
end)
