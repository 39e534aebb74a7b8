--[==[ conformance
asks: with a codec every payload in the history is encrypted, and the value in it is what it was: input, arguments, results, signals, updates, memo
weight: A
needs: ml.activity
embedded: payloads travel nowhere there; the file is the user's own
worker: --codec-keys $KEYS
start: {"spec":true}
options: {"memo":{"note":"private"}}
steps:
  wait ActivityTaskCompleted
  query seen -> {"spec":true}
  update add {"n":1} -> {"n":1}
  signal go "on"
result: {"activity":{"spec":true},"signal":"on"}
events:
  WorkflowExecutionStarted input.0.encoding="binary/encrypted" input.0.metadata.encryption-key-id="spring" input.0.inside.encoding="json/plain"
    input.0.inside.data="{\"spec\":true}" memo.fields.note.encoding="binary/encrypted" memo.fields.note.inside.value="private"
  Task
  ActivityTaskScheduled input.0.encoding="binary/encrypted" input.0.inside.encoding="json/plain" input.0.inside.data="{\"spec\":true}"
  ActivityTaskStarted
  ActivityTaskCompleted result.0.encoding="binary/encrypted" result.0.inside.data="{\"spec\":true}"
  Task
  Task?
  WorkflowExecutionUpdateAccepted acceptedRequest.input.args.0.encoding="binary/encrypted" acceptedRequest.input.args.0.inside.value={"n":1}
  WorkflowExecutionUpdateCompleted outcome.success.0.encoding="binary/encrypted" outcome.success.0.inside.value={"n":1}
  WorkflowExecutionSignaled input.0.encoding="binary/encrypted" input.0.inside.data="\"on\""
  Task
  WorkflowExecutionCompleted result.0.encoding="binary/encrypted" result.0.metadata.encryption-key-id="spring"
    result.0.inside.data="{\"activity\":{\"spec\":true},\"signal\":\"on\"}"
]==]
local ml = require "moonloop"
local echo = ml.activity("codec.echo", { timeout = "20s" }, function(v) return v end)

ml.workflow("data_converter/codec", function(input)
  ml.query("seen", function() return input end)
  ml.update("add", function(v) return v end)
  local echoed = echo(input)
  local _, word = ml.channel("go"):receive()
  return { activity = echoed, signal = word }
end)
