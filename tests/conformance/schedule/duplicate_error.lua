--[==[ conformance
asks: a schedule whose id is taken is refused
weight: A
needs: ml.client.schedule
embedded: schedules are the server's; the embedded engine has none
result: {"first":true,"again":"Exists"}
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
local drive = ml.activity("schedule_duplicate.drive", { timeout = "60s", retry = { max_attempts = 1 } }, function()
  local options = { workflow = "schedule/duplicate_error", every = "1h", paused = true }
  local id = ml.info().workflow_id .. "-schedule"
  local schedule = ml.client.schedule(id, options)
  local _, e = pcall(ml.client.schedule, id, options)
  schedule:delete()
  return { first = schedule.id == id, again = e.type }
end)

ml.workflow("schedule/duplicate_error", function() return drive() end)
