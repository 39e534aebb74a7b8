--[==[ conformance
asks: signals of a client are kept in their order, also those that nobody has asked for yet
weight: A
needs: ml.channel channel:receive
steps:
  wait WorkflowTaskCompleted
  signal first {"n":1}
  wait WorkflowTaskCompleted 2
  signal second {"n":2}
  wait WorkflowTaskCompleted 3
  signal second {"n":3}
  wait WorkflowTaskCompleted 4
  signal go
result: [{"n":1},{"n":2},{"n":3}]
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled signalName="first" input=[{"n":1}]
  Task
  WorkflowExecutionSignaled signalName="second" input=[{"n":2}]
  Task
  WorkflowExecutionSignaled signalName="second" input=[{"n":3}]
  Task
  WorkflowExecutionSignaled signalName="go" input=null
  Task
  WorkflowExecutionCompleted result=[[{"n":1},{"n":2},{"n":3}]]
]==]
local ml = require "moonloop"
ml.workflow("signal/external", function()
  ml.channel("go"):receive()
  local got = ml.list {}
  for _, name in ipairs { "first", "second", "second" } do
    local _, value = ml.channel(name):receive()
    got[#got + 1] = value
  end
  return got
end)
