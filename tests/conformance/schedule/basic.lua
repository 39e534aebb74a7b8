--[==[ conformance
asks: a schedule is made, listed, changed and removed; its runs change with it
weight: A
needs: ml.client.schedule
embedded: schedules are the server's; the embedded engine has none
result: {"first":"one","second":"two","listed":true,"gone":"NotFound"}
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

local drive = ml.activity("schedule_basic.drive", { timeout = "60s", retry = { max_attempts = 1 } }, function()
  local info, seen = ml.info(), {}
  local id = info.workflow_id .. "-schedule"
  local schedule = ml.client.schedule(id, { workflow = "schedule/basic.scheduled", task_queue = info.task_queue, every = "1s", input = "one" })
  local function ran(text)
    return until_true(function()
      for _, action in ipairs(schedule:describe().info.recentActions or {}) do
        if ml.client.run(action.startWorkflowResult.workflowId):result() == text then return text end
      end
    end)
  end
  seen.first = ran "one"
  schedule:update { input = "two" }
  seen.second = ran "two"
  seen.listed = until_true(function()
    for _, entry in ipairs(ml.client.schedules()) do
      if entry.scheduleId == id then return true end
    end
  end)
  schedule:delete()
  local _, e = pcall(schedule.describe, schedule)
  seen.gone = e.type
  return seen
end)

ml.workflow("schedule/basic.scheduled", function(text) return text end)
ml.workflow("schedule/basic", function() return drive() end)
