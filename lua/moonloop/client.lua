-- ml.client: what activities, ml.setup and plain scripts ask of the engine about other runs. Written over one request of the
-- host (core.client_request), whose answer is a table {code, text, workflowId, runId, status, existing, json, failure}.
local core = require "moonloop.core"
local ml = require "moonloop"
local client, run, schedule, update = {}, {}, {}, {}
local null = ml.null

-- Types of failures by the codes of moonloop.h, and whether another attempt may help.
local kinds = {
  [-9] = "NotFound", [-10] = "Exists", [-3] = "TooLarge", [-14] = "Timeout", [-18] = "Unsupported", [-17] = "Stale",
  [-15] = "Canceled", [-12] = "BadScript",
}
local lasting = { NotFound = true, Exists = true, TooLarge = true, Unsupported = true, BadScript = true }

local function checked(name, r)
  if r.code == 0 then return r end
  if r.code == -2 then error(name .. ": " .. r.text, 3) end
  local kind = r.code == -20 and "Refused" or kinds[r.code] or "IoError"
  ml.fail(name .. ": " .. r.text, { type = kind, retryable = not (lasting[kind] or r.failure), cause = r.failure })
end

local function ask(name, verb, args)
  return checked(name, core.client_request(name, verb, args))
end

-- A value that JSON text is made of travels as text, so that its integers stay whole.
local function text_of(value)
  if value ~= nil then return ml.json.encode(value) end
end

local function array_of(...)
  local list, n = {}, select("#", ...)
  if n == 0 then return nil end
  for i = 1, n do
    local v = select(i, ...)
    list[i] = v == nil and null or v
  end
  return ml.json.encode(ml.list(list))
end

local function value_of(r)
  if r.json ~= null then return r.json end
end

local function check_name(value, what, name)
  if type(value) ~= "string" or value == "" then error(("%s: %s is a text"):format(name, what), 4) end
end

-- ---- starting ----
local plain = { "retry", "memo", "cron", "summary", "details", "priority", "version" }
local renamed = {
  task_queue = "taskQueue", search_attributes = "searchAttributes", execution_timeout = "executionTimeout", run_timeout = "runTimeout",
  task_timeout = "taskTimeout", delay = "startDelay", on_open = "idConflictPolicy", on_closed = "idReusePolicy",
}
local retry_names = { max_attempts = "maxAttempts", initial = "initial", max = "max", backoff = "backoff", non_retryable = "nonRetryable" }

local function start_args(workflow, options, name)
  check_name(workflow, "the workflow", name)
  options = options or {}
  core.check_options(options, "client_start", name)
  local to = {}
  for _, key in ipairs(plain) do to[key] = options[key] end
  for key, wire in pairs(renamed) do to[wire] = options[key] end
  if options.retry then
    to.retry = {}
    for key, wire in pairs(retry_names) do to.retry[wire] = options.retry[key] end
  end
  if options.priority then
    to.priority = { key = options.priority.key, fairnessKey = options.priority.fairness_key, weight = options.priority.weight }
  end
  if options.signal then
    check_name(options.signal, "signal", name)
    to.signal = { name = options.signal, input = text_of(options.signal_input) }
  end
  return { workflow = workflow, id = options.id, input = text_of(options.input), options = next(to) ~= nil and ml.json.encode(to) or nil, drive = true }
end

local function run_of(id, run_id, existing)
  return core.new_run { id = id, run_id = run_id, existing = existing }
end

--- Starts a workflow: its run.
function client.start(workflow, options)
  local r = ask("ml.client.start", "start", start_args(workflow, options, "ml.client.start"))
  return run_of(r.workflowId, r.runId, r.existing)
end

--- Starts a workflow, or takes the open run, and calls an update of it, in one request: the update's result and the run.
function client.update_with_start(workflow, options, name, ...)
  local args = start_args(workflow, options, "ml.client.update_with_start")
  check_name(name, "the update's name", "ml.client.update_with_start")
  args.updateName, args.args = name, array_of(...)
  local r = ask("ml.client.update_with_start", "start", args)
  return value_of(r), run_of(args.id or r.workflowId, r.runId)
end

--- The run with this id (its newest, or that one): nothing is asked yet.
function client.run(id, run_id)
  check_name(id, "the id", "ml.client.run")
  return run_of(id, run_id)
end

-- ---- one run ----
local function target(self, more)
  more = more or {}
  more.id = self.id
  more.runId = self.run_id
  return more
end

function run:signal(name, value)
  check_name(name, "the signal's name", "run:signal")
  ask("run:signal", "signal", target(self, { name = name, input = text_of(value) }))
end

function run:query(name, ...)
  check_name(name, "the query's name", "run:query")
  return value_of(ask("run:query", "query", target(self, { name = name, args = array_of(...) })))
end

function run:update(name, ...)
  check_name(name, "the update's name", "run:update")
  return value_of(ask("run:update", "update", target(self, { name = name, args = array_of(...), wait = true })))
end

--- Calls an update and waits until it is accepted: the handle that waits for its result, here or in another process. One that was
--- rejected, or has failed by then, tells that when its result is asked for: a server says both in the same way.
function run:start_update(name, ...)
  check_name(name, "the update's name", "run:start_update")
  local id = ml.uuid()
  local r = core.client_request("run:start_update", "update", target(self, { name = name, args = array_of(...), updateId = id }))
  local refused = r.code == -20 and r or nil
  if not refused then checked("run:start_update", r) end
  return core.new_update { id = id, workflow_id = self.id, run_id = r.runId or self.run_id, refused = refused }
end

--- The update with this id, which somebody called. Nothing is asked yet.
function run:get_update(id)
  check_name(id, "the update's id", "run:get_update")
  return core.new_update { id = id, workflow_id = self.id, run_id = self.run_id }
end

function update:result()
  if self.refused then checked("update:result", self.refused) end
  return value_of(ask("update:result", "update", { id = self.workflow_id, runId = self.run_id, updateId = self.id, wait = true }))
end

--- Waits for the end of the run (and of those that go on in its place): its result, or its failure raised.
function run:result()
  local r = ask("run:result", "result", target(self, { wait = true }))
  if r.status == "Completed" then return value_of(r) end
  ml.fail(("run:result: workflow %s is %s"):format(self.id, r.status),
    { type = "Workflow" .. r.status, retryable = false, cause = r.failure })
end

function run:describe()
  return ask("run:describe", "describe", target(self)).json
end

function run:history()
  return ask("run:history", "history", target(self)).json
end

function run:cancel(reason)
  ask("run:cancel", "cancel", target(self, { reason = reason }))
end

function run:terminate(reason)
  ask("run:terminate", "terminate", target(self, { reason = reason }))
end

function run:reset(event_id, reason)
  if math.type(event_id) ~= "integer" then error("run:reset takes the id of an event", 2) end
  local r = ask("run:reset", "reset", target(self, { eventId = event_id, reason = reason }))
  return run_of(self.id, r.runId)
end

function run:delete()
  ask("run:delete", "delete", target(self))
end

-- ---- many runs ----
local function filter(options, name)
  options = options or {}
  core.check_options(options, "client_list", name)
  local to = { status = options.status, type = options.type, idPrefix = options.id_prefix, query = options.query, limit = options.limit, page = options.page }
  return { filter = next(to) ~= nil and ml.json.encode(to) or nil }
end

--- The runs, and where the next page begins when there are more.
function client.list(options)
  local r = ask("ml.client.list", "list", filter(options, "ml.client.list"))
  return r.json, r.nextPage
end

-- All pages of a list that a server gives in parts.
local function pages(name, verb, args, key)
  local all = ml.list {}
  repeat
    local r = ask(name, verb, args)
    for _, v in ipairs(r.json[key] or {}) do all[#all + 1] = v end
    args.page = r.nextPage
  until not r.nextPage
  return all
end

function client.count(options)
  return ask("ml.client.count", "count", filter(options, "ml.client.count")).json
end

-- ---- activities ----
function client.complete_activity(options)
  core.check_options(options, "client_complete", "ml.client.complete_activity")
  check_name(options.id, "id", "ml.client.complete_activity")
  check_name(options.activity, "activity", "ml.client.complete_activity")
  local failure = options.failure
  if type(failure) == "string" then failure = { type = "Failure", message = failure } end
  ask("ml.client.complete_activity", "complete_by_id", { id = options.id, runId = options.run_id, activity = options.activity,
    json = text_of(options.value), failure = text_of(failure) })
end

--- Says that an activity which is completed later still goes on: nil, or why it shall stop.
function client.heartbeat_activity(options)
  core.check_options(options, "client_heartbeat", "ml.client.heartbeat_activity")
  check_name(options.id, "id", "ml.client.heartbeat_activity")
  check_name(options.activity, "activity", "ml.client.heartbeat_activity")
  return value_of(ask("ml.client.heartbeat_activity", "heartbeat_by_id", { id = options.id, runId = options.run_id, activity = options.activity,
    details = text_of(options.details) }))
end

-- ---- schedules ----
local schedule_names = {
  workflow = "workflow", task_queue = "taskQueue", workflow_id = "workflowId", every = "every", offset = "offset", cron = "cron",
  timezone = "timezone", jitter = "jitter", start_at = "startAt", end_at = "endAt", overlap = "overlap", catchup = "catchup",
  pause_on_failure = "pauseOnFailure", paused = "paused", note = "note", remaining = "remaining", memo = "memo", spec = "spec",
}

local function schedule_args(id, options, name)
  core.check_options(options, "client_schedule", name)
  local to = { input = text_of(options.input) }
  for key, wire in pairs(schedule_names) do to[wire] = options[key] end
  if type(to.cron) == "string" then to.cron = ml.list { to.cron } end
  return { id = id, options = ml.json.encode(to) }
end

--- With options: makes the schedule. Without: the one with this id, and nothing is asked yet.
function client.schedule(id, options)
  check_name(id, "the id", "ml.client.schedule")
  if options then ask("ml.client.schedule", "schedule_create", schedule_args(id, options, "ml.client.schedule")) end
  return core.new_schedule { id = id }
end

function client.schedules(query)
  return pages("ml.client.schedules", "schedule_list", { query = query }, "schedules")
end

function schedule:describe()
  return ask("schedule:describe", "schedule_describe", { id = self.id }).json
end

--- Changes what the options name, and nothing else.
function schedule:update(options)
  ask("schedule:update", "schedule_update", schedule_args(self.id, options, "schedule:update"))
end

local function patch(self, name, what)
  ask(name, "schedule_patch", { id = self.id, patch = ml.json.encode(what) })
end

function schedule:pause(note)
  patch(self, "schedule:pause", { pause = note or "paused" })
end

function schedule:unpause(note)
  patch(self, "schedule:unpause", { unpause = note or "unpaused" })
end

local overlaps = {
  skip = "SKIP", buffer_one = "BUFFER_ONE", buffer_all = "BUFFER_ALL", cancel_other = "CANCEL_OTHER", terminate_other = "TERMINATE_OTHER",
  allow_all = "ALLOW_ALL",
}

local function overlap_of(name, options)
  core.check_options(options or {}, "client_overlap", name)
  local policy = options and options.overlap
  return policy and "SCHEDULE_OVERLAP_POLICY_" .. overlaps[policy] or nil
end

function schedule:trigger(options)
  patch(self, "schedule:trigger", { triggerImmediately = { overlapPolicy = overlap_of("schedule:trigger", options) } })
end

function schedule:backfill(from, to, options)
  patch(self, "schedule:backfill", { backfillRequest = ml.list {
    { startTime = ml.time.format(from), endTime = ml.time.format(to), overlapPolicy = overlap_of("schedule:backfill", options) } } })
end

function schedule:delete()
  ask("schedule:delete", "schedule_delete", { id = self.id })
end

-- ---- the cluster ----
function client.deployment(name)
  check_name(name, "the deployment", "ml.client.deployment")
  return ask("ml.client.deployment", "deployment_describe", { name = name }).json
end

function client.deployments()
  return pages("ml.client.deployments", "deployment_list", {}, "workerDeployments")
end

function client.set_current_version(name, build, options)
  check_name(name, "the deployment", "ml.client.set_current_version")
  core.check_options(options or {}, "client_version", "ml.client.set_current_version")
  ask("ml.client.set_current_version", "deployment_set_current", { name = name, build = build, force = options and options.force })
end

function client.namespace()
  return ask("ml.client.namespace", "namespace", {}).json
end

function client.search_attributes()
  return ask("ml.client.search_attributes", "attributes", {}).json
end

function client.add_search_attribute(name, kind)
  check_name(name, "the name", "ml.client.add_search_attribute")
  ask("ml.client.add_search_attribute", "attributes_add", { name = name, type = kind })
end

return { client = client, run = run, schedule = schedule, update = update }
