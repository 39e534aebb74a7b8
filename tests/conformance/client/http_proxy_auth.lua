--[==[ conformance
asks: the same with a proxy that wants a name and a password, and refuses others
weight: B
embedded: there is no server to reach
worker: --temporal temporal.invalid:$PORT --proxy user:secret@$PROXY
steps:
  wait WorkflowTaskCompleted
  python through_proxy
  python proxy_refuses
result: ["through","the proxy"]
events:
  WorkflowExecutionStarted
  Task
  WorkflowExecutionSignaled input=["through"]
  Task
  Task
  WorkflowExecutionUpdateAccepted
  WorkflowExecutionUpdateCompleted outcome.success=[1]
  WorkflowExecutionSignaled input=["the proxy"]
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
ml.workflow("client/http_proxy_auth", function()
  local got, words = ml.list {}, ml.channel "word"
  ml.query("count", function() return #got end)
  ml.update("count", function() return #got end)
  for i = 1, 2 do
    local _, word = words:receive()
    got[i] = word
  end
  return got
end)
