--[==[ conformance
asks: with a codec a failure's text travels encrypted too, also its causes', both ways: what the history shows is "Encoded failure"
weight: B
needs: ml.fail
embedded: payloads travel nowhere there; the file is the user's own
worker: --codec-keys $KEYS
steps:
  python serve_failing
result: failed Ended "it ended: Known main error, Cause cause error; python error"
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  ActivityTaskStarted
  ActivityTaskFailed failure.message="Encoded failure" failure.stackTrace=null failure.encodedAttributes.encoding="binary/encrypted"
    failure.encodedAttributes.inside.value.message="main error" failure.applicationFailureInfo.type="Known"
    failure.applicationFailureInfo.details.0.inside.value="private" failure.cause.message="Encoded failure" failure.cause.stackTrace=null
    failure.cause.encodedAttributes.inside.value.message="cause error" failure.cause.applicationFailureInfo.type="Cause"
  Task
  ActivityTaskScheduled
  ActivityTaskStarted
  ActivityTaskFailed failure.message="Encoded failure" failure.encodedAttributes.inside.value.message="python error"
  Task
  WorkflowExecutionFailed failure.message="Encoded failure" failure.encodedAttributes.inside.value.message~"^it ended: "
]==]
local ml = require "moonloop"
local fails = ml.activity("failure.fails", { timeout = "20s" }, function()
  ml.fail("main error", { type = "Known", retryable = false, details = "private", cause = { type = "Cause", message = "cause error" } })
end)
local python = ml.activity("failure.python", { timeout = "20s" })

ml.workflow("data_converter/failure", function()
  local _, e = pcall(fails)
  local _, theirs = pcall(python:with { task_queue = ml.info().workflow_id .. "/python" })
  local c = e.cause
  ml.fail(("it ended: %s %s, %s %s; %s"):format(c.type, c.message, c.cause.type, c.cause.message, theirs.cause.message), { type = "Ended" })
end)
