--[==[ conformance
asks: a schedule is made paused; pausing and unpausing change its note and may be said twice
weight: A
needs: schedule:pause schedule:unpause
embedded: schedules are the server's; the embedded engine has none
result: [[true,"made so"],[false,"go"],[false,"go again"],[true,"stop"],[true,"stop again"]]
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

local drive = ml.activity("schedule_pause.drive", { timeout = "60s", retry = { max_attempts = 1 } }, function()
  local schedule = ml.client.schedule(ml.info().workflow_id .. "-schedule", { workflow = "schedule/pause", every = "1h", paused = true, note = "made so" })
  local seen = ml.list {}
  local function look(note)
    local state = until_true(function()
      local now = schedule:describe().schedule.state
      return now.notes == note and now
    end)
    seen[#seen + 1] = { state.paused or false, state.notes }
  end
  look "made so"
  schedule:unpause "go"
  look "go"
  schedule:unpause "go again"
  look "go again"
  schedule:pause "stop"
  look "stop"
  schedule:pause "stop again"
  look "stop again"
  schedule:delete()
  return seen
end)

ml.workflow("schedule/pause", function() return drive() end)
