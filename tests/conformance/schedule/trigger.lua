--[==[ conformance
asks: a paused schedule that is triggered twice starts two runs
weight: A
needs: schedule:trigger
embedded: schedules are the server's; the embedded engine has none
result: {"runs":2,"paused":true}
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

local drive = ml.activity("schedule_trigger.drive", { timeout = "60s", retry = { max_attempts = 1 } }, function()
  local info = ml.info()
  local schedule = ml.client.schedule(info.workflow_id .. "-schedule", {
    workflow = "schedule/trigger.scheduled", task_queue = info.task_queue, every = "1h", paused = true, overlap = "allow_all",
  })
  local function actions() return schedule:describe().info.recentActions or {} end
  schedule:trigger()
  until_true(function() return #actions() == 1 end)
  ml.sleep("1100ms") -- ids of runs are made of the second
  schedule:trigger()
  until_true(function() return #actions() == 2 end)
  for _, action in ipairs(actions()) do ml.client.run(action.startWorkflowResult.workflowId):result() end
  local seen = { runs = #actions(), paused = schedule:describe().schedule.state.paused }
  schedule:delete()
  return seen
end)

ml.workflow("schedule/trigger.scheduled", function() end)
ml.workflow("schedule/trigger", function() return drive() end)
