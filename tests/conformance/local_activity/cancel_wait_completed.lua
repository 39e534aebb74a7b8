--[==[ conformance
asks: the future ends when the local activity has ended
weight: B
needs: future:cancel
result: {"ok":true,"result":"cancelled"}
events:
  WorkflowExecutionStarted
  Task
  MarkerRecorded details.data.0.seq=2
  MarkerRecorded details.data.0.seq=1 details.result=["cancelled"]
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local stays = ml.local_activity("local_cancel_wait_completed.stays", { timeout = "20s", cancel = "wait", retry = { max_attempts = 1 } }, function()
  local told = ml.shield(function()
    for _ = 1, 20 do
      ml.sleep("20ms")
      if ml.cancel_requested() then return "cancelled" end
    end
    return "not cancelled"
  end)
  return told
end)
local short = ml.local_activity("local_cancel_wait_completed.short", { timeout = "5s" }, function() ml.sleep("30ms") end)

ml.workflow("local_activity/cancel_wait_completed", function()
  local future = stays:async()
  short()
  future:cancel()
  local ok, e = pcall(future.await, future)
  return { ok = ok, result = ok and e or nil, type = not ok and e.type or nil, cause = not ok and e.cause.type or nil }
end)
