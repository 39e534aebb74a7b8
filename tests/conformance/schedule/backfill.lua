--[==[ conformance
asks: the times of the past are taken when they are asked for: each of them once
weight: B
needs: schedule:backfill
embedded: schedules are the server's; the embedded engine has none
result: 6
events:
  WorkflowExecutionStarted
  Task
  ActivityTaskScheduled
  ActivityTaskStarted attempt=1
  ActivityTaskCompleted
  Task
  WorkflowExecutionCompleted
]==]
local ml = require "moonloop"
local function until_true(fn)
  for _ = 1, 200 do
    local got = fn()
    if got then return got end
    ml.sleep("100ms")
  end
  error "it does not happen"
end

local drive = ml.activity("schedule_backfill.drive", { timeout = "60s", retry = { max_attempts = 1 } }, function()
  local info = ml.info()
  local schedule = ml.client.schedule(info.workflow_id .. "-schedule", {
    workflow = "schedule/backfill.scheduled", task_queue = info.task_queue, every = "1m", paused = true, overlap = "allow_all",
  })
  schedule:backfill("2024-01-01T00:00:30Z", "2024-01-01T00:03:30Z", { overlap = "allow_all" }) -- 1, 2, 3
  until_true(function() return #(schedule:describe().info.recentActions or {}) >= 3 end) -- of two changes at once one may be lost
  schedule:backfill("2024-01-01T01:00:30Z", "2024-01-01T01:03:30Z", { overlap = "allow_all" })
  until_true(function() return #(schedule:describe().info.recentActions or {}) >= 6 end)
  ml.sleep("500ms") -- no more come
  local ids, n = {}, 0
  for _, action in ipairs(schedule:describe().info.recentActions) do ids[action.startWorkflowResult.workflowId] = true end
  for id in pairs(ids) do
    ml.client.run(id):result()
    n = n + 1
  end
  schedule:delete()
  return n
end)

ml.workflow("schedule/backfill.scheduled", function() end)
ml.workflow("schedule/backfill", function() return drive() end)
