-- Run by lua_test.py as a plain script on a server: arg[1] is a task queue with the worker of peer.py, arg[2] a deployment's name.
-- Prints one JSON object of what it saw.
local ml = require "moonloop"
local queue, deployment = arg[1], arg[2]
local seen = {}

local r = ml.client.start("counter", { id = "lua-" .. queue, task_queue = queue, input = 5, summary = "from Lua", memo = { a = { 1, 2 } },
  search_attributes = { MlKeyword = "lua" }, priority = { key = 2, fairness_key = "k", weight = 1.5 }, on_closed = "reject",
  signal = "add", signal_input = 9007199254740993 })
r:signal("add", -9007199254740993)
seen.query = r:query("value", 1)
seen.update = r:update("bump", 2)
local value, same = ml.client.update_with_start("counter", { id = r.id, task_queue = queue, on_open = "use_existing" }, "bump", 1)
seen.update_with_start, seen.same_run = value, same.run_id == r.run_id
local _, refused = pcall(r.update, r, "bump", -1)
seen.refused, seen.cause = refused.type, refused.cause.type
_, refused = pcall(r.query, r, "broken")
seen.query_refused = refused.type
_, refused = pcall(ml.client.start, "counter", { id = r.id, task_queue = queue })
seen.taken = refused.type
local d = r:describe()
seen.described = { d.status, d.type, d.memo.a[2] }
r:signal("finish")
seen.result = r:result()
seen.events = #r:history().events > 5
_, refused = pcall(ml.client.start, "counter", { id = r.id, task_queue = queue, on_closed = "reject" })
seen.rejected = refused.type
local failing = ml.client.start("fails", { task_queue = queue, input = "as told" })
_, refused = pcall(failing.result, failing)
seen.failed = { refused.type, refused.cause.type, refused.cause.message }
local sleeper = ml.client.start("sleeper", { task_queue = queue })
sleeper:cancel("enough")
_, refused = pcall(sleeper.result, sleeper)
seen.canceled = refused.type

local function until_true(what, fn)
  for _ = 1, 3000 do
    local v = fn()
    if v then return v end
  end
  error("did not happen: " .. what)
end

until_true("the run is listed", function() return #ml.client.list { query = "WorkflowId = '" .. r.id .. "'" } == 1 end)
seen.counted = ml.client.count { id_prefix = r.id }.count

local id = "s-" .. queue
-- updates that are accepted now and done later, also when the run has ended
local slow = ml.client.start("counter", { task_queue = queue })
local u, v = slow:start_update("slow"), slow:start_update("bump", 5)
slow:signal("open")
seen.slow = { u:result(), v:result() }
local never = slow:start_update("bump", -1)
_, refused = pcall(never.result, never)
seen.rejected_update = { refused.type, refused.cause.type }
local bad = slow:start_update("bad")
slow:signal("finish")
slow:result()
seen.later = { ml.client.run(slow.id, slow.run_id):get_update(u.id):result(), slow:get_update(v.id):result() }
_, refused = pcall(bad.result, bad)
seen.bad_update = { refused.type, refused.cause.type }
local none = slow:get_update("none")
_, refused = pcall(none.result, none)
seen.no_update = refused.type

-- pages of a list
for i = 1, 5 do ml.client.start("sleeper", { id = ("page-%s-%d"):format(queue, i), task_queue = queue }) end
local function paged()
  local ids, page, calls = {}, nil, 0
  repeat
    local list
    list, page = ml.client.list { id_prefix = "page-" .. queue, limit = 2, page = page }
    for _, run in ipairs(list) do ids[#ids + 1] = run.workflowId:match("%d+$") end
    calls = calls + 1
  until not page
  table.sort(ids)
  return #ids == 5 and { table.concat(ids), calls >= 3 }
end
seen.pages = until_true("all are listed", paged)
for i = 1, 5 do ml.client.run(("page-%s-%d"):format(queue, i)):terminate() end

-- an activity that is completed from outside, by its ids
local outside = ml.client.start("waits_outside", { task_queue = queue })
local beat = { id = outside.id, activity = "the-one", details = { at = 1 } }
seen.beat = until_true("the activity runs", function()
  local ok, why = pcall(ml.client.heartbeat_activity, beat)
  return ok and tostring(why)
end)
outside:cancel()
seen.stop = until_true("it is told to stop", function() return ml.client.heartbeat_activity(beat) end)
ml.client.complete_activity { id = outside.id, activity = "the-one", value = "done" }
seen.outside = outside:result()
_, refused = pcall(ml.client.heartbeat_activity, beat)
seen.gone = refused.type

local s = ml.client.schedule(id, { workflow = "counter", task_queue = queue, every = "1h", offset = "5m", input = 7, note = "one", overlap = "allow_all",
  catchup = "10m", remaining = 100, memo = { m = 1 } })
_, refused = pcall(ml.client.schedule, id, { workflow = "counter", every = "1h" })
seen.schedule_taken = refused.type
d = s:describe().schedule
seen.interval = { d.spec.interval[1].interval, d.spec.interval[1].phase, d.policies.overlapPolicy, d.policies.catchupWindow, d.state.remainingActions }
s:update { note = "two", cron = "0 9 * * *", timezone = "Europe/Vienna", jitter = "30s" }
d = s:describe().schedule
seen.updated = { d.state.notes, d.spec.timezoneName, d.spec.jitter, d.spec.interval == nil, d.action.startWorkflow.workflowType.name }
s:pause("for now")
seen.paused = s:describe().schedule.state.paused
s:unpause()
until_true("it goes on", function() return not s:describe().schedule.state.paused end)
local function acted(n)
  return until_true("the schedule acts", function()
    local list = s:describe().info.recentActions
    return list and #list == n and list
  end)
end
s:trigger()
acted(1) -- a server forgets one of two changes that come at once
s:backfill("2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z", { overlap = "allow_all" })
local actions = acted(3)
for _, action in ipairs(actions) do
  local run = ml.client.run(action.startWorkflowResult.workflowId)
  seen.scheduled = run:query("value")
  run:terminate()
end
until_true("the schedule is listed", function()
  for _, entry in ipairs(ml.client.schedules()) do
    if entry.scheduleId == id then return true end
  end
end)
s:delete()
_, refused = pcall(s.describe, s)
seen.schedule_gone = refused.type

ml.client.set_current_version(deployment, "one", { force = true })
seen.current = ml.client.deployment(deployment).workerDeploymentInfo.routingConfig.currentDeploymentVersion.buildId
until_true("the deployment is listed", function()
  for _, entry in ipairs(ml.client.deployments()) do
    if entry.name == deployment then return true end
  end
end)
local pinned = ml.client.start("pinned", { task_queue = queue .. "-v", version = { deployment = deployment, build = "one" } })
seen.pinned = { pinned:result(), pinned:describe().bundle }
seen.namespace = ml.client.namespace().namespaceInfo.name
seen.attribute = ml.client.search_attributes().MlInt
_, refused = pcall(ml.client.add_search_attribute, "MlInt", "Colour")
seen.bad_type = tostring(refused):match("Keyword") ~= nil
print(ml.json.encode(seen))
