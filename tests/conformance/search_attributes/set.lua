--[==[ conformance
asks: search attributes of every kind on the start; the workflow reads them
weight: A
needs: ml.search_attributes
options: {"searchAttributes":{"MlKeyword":"word","MlInt":7,"MlDouble":1.5,"MlBool":true,"MlText":"some text","MlKeywords":["a","b"]}}
result: {"MlKeyword":"word","MlInt":7,"MlDouble":1.5,"MlBool":true,"MlText":"some text","MlKeywords":["a","b"]}
events:
  WorkflowExecutionStarted searchAttributes.indexedFields.MlKeyword="word" searchAttributes.indexedFields.MlInt=7
    searchAttributes.indexedFields.MlDouble=1.5 searchAttributes.indexedFields.MlBool=true searchAttributes.indexedFields.MlKeywords=["a","b"]
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("search_attributes/set", function() return ml.search_attributes() end)
