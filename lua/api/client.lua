-- What activities, ml.setup and plain scripts ask of the engine about other runs, and of a Temporal server about itself.
local a = { "activity" }
local server = "`Unsupported`: the embedded engine has none of it"
local id = { "id", "string", "workflow id" }
local list = {
  { name = "ml.client.start", where = a, options = "client_start", args = { { "workflow", "string", "its type" }, { "options?", "options:client_start", "" } },
    returns = { { "run", "" } }, doc = "Starts a workflow.", errors = "`Exists`: the id is taken (`on_open`, `on_closed`); `NotFound`: no script here defines it (embedded engine)" },
  { name = "ml.client.update_with_start", where = a, options = "client_start",
    args = { { "workflow", "string", "its type" }, { "options", "options:client_start", "`on_open = \"use_existing\"` takes the open run" }, { "name", "string", "the update" }, { "...", "any", "its arguments" } },
    returns = { { "any", "the update's result" }, { "run", "" } }, doc = "Starts a workflow and calls an update of it in one request.", errors = server .. "; `Refused`: the update failed, cause says why" },
  { name = "ml.client.run", where = a, args = { id, { "run_id?", "string", "that run of the id only" } }, returns = { { "run", "" } }, doc = "The run with this id. Nothing is asked yet." },
  { name = "ml.client.list", where = a, options = "client_list", args = { { "filter?", "options:client_list", "" } },
    returns = { { "list", "{workflowId, runId, type, status, startTime ...}, newest first" } }, doc = "Runs." },
  { name = "ml.client.count", where = a, options = "client_list", args = { { "filter?", "options:client_list", "" } }, returns = { { "table", "{count, byStatus, blocked}" } }, doc = "How many runs there are." },
  { name = "ml.client.complete_activity", where = a, options = "client_complete", args = { { "options", "options:client_complete", "" } },
    doc = "Completes or fails an activity that was left to be completed later, by the ids of its workflow and its own.", errors = "`NotFound`, `Stale`: it does not wait" },

  { name = "run:signal", where = a, args = { { "name", "string", "" }, { "value?", "any", "" } }, doc = "Sends a signal.", errors = "`NotFound`" },
  { name = "run:query", where = a, args = { { "name", "string", "" }, { "...", "any", "arguments" } }, returns = { { "any", "" } }, doc = "Asks the run something.", errors = "`NotFound`; `Refused`: the query failed" },
  { name = "run:update", where = a, args = { { "name", "string", "" }, { "...", "any", "arguments" } }, returns = { { "any", "" } }, doc = "Calls an update and waits for its result.", errors = "`NotFound`; `Refused`: it was rejected or failed, cause says why" },
  { name = "run:result", where = a, returns = { { "any", "" } }, doc = "Waits for the end, also of the runs that go on in its place.",
    errors = "`WorkflowFailed`, `WorkflowCanceled`, `WorkflowTerminated`, `WorkflowTimedOut`, with the run's failure as cause" },
  { name = "run:describe", where = a, returns = { { "table", "{workflowId, runId, type, status, taskQueue, pending, open ...}" } }, doc = "What the engine knows of the run.", errors = "`NotFound`" },
  { name = "run:history", where = a, returns = { { "table", "{events}, in the JSON form of Temporal's API" } }, doc = "The run's history.", errors = "`NotFound`" },
  { name = "run:cancel", where = a, args = { { "reason?", "string", "" } }, doc = "Asks the run to stop.", errors = "`NotFound`" },
  { name = "run:terminate", where = a, args = { { "reason?", "string", "" } }, doc = "Ends the run at once.", errors = "`NotFound`" },
  { name = "run:reset", where = a, args = { { "event_id", "integer", "of a WorkflowTaskCompleted or WorkflowTaskStarted event" }, { "reason?", "string", "" } }, returns = { { "run", "the new one" } },
    doc = "A new run from an earlier point of the history; the old one is terminated.", errors = "`NotFound`" },
  { name = "run:delete", where = a, doc = "Removes the run and its history.", errors = "`NotFound`" },

  { name = "ml.client.schedule", where = a, options = "client_schedule", args = { { "id", "string", "" }, { "options?", "options:client_schedule", "makes it; without them it is one that is there" } },
    returns = { { "schedule", "" } }, doc = "A schedule of a Temporal server: starts a workflow again and again.", errors = server .. "; `Exists`" },
  { name = "ml.client.schedules", where = a, args = { { "query?", "string", "of the visibility store" } }, returns = { { "list", "in the form of Temporal's API" } }, doc = "The schedules of the namespace.", errors = server },
  { name = "schedule:describe", where = a, returns = { { "table", "{schedule, info, memo}, in the form of Temporal's API" } }, doc = "What it starts, when, and what it did.", errors = server .. "; `NotFound`" },
  { name = "schedule:update", where = a, options = "client_schedule", args = { { "options", "options:client_schedule", "" } }, doc = "Changes what the options name; `every`, `cron` and `spec` replace all times.", errors = server .. "; `NotFound`" },
  { name = "schedule:pause", where = a, args = { { "note?", "string", "" } }, doc = "Takes no times until it is unpaused.", errors = server .. "; `NotFound`" },
  { name = "schedule:unpause", where = a, args = { { "note?", "string", "" } }, doc = "Takes times again.", errors = server .. "; `NotFound`" },
  { name = "schedule:trigger", where = a, options = "client_overlap", args = { { "options?", "options:client_overlap", "" } }, doc = "Starts the workflow now.", errors = server .. "; `NotFound`" },
  { name = "schedule:backfill", where = a, options = "client_overlap", args = { { "from", "time", "" }, { "to", "time", "" }, { "options?", "options:client_overlap", "" } }, doc = "Takes the times of the past between the two.", errors = server .. "; `NotFound`" },
  { name = "schedule:delete", where = a, doc = "Removes the schedule; the runs it started go on.", errors = server .. "; `NotFound`" },
  { name = "ml.client.deployments", where = a, returns = { { "list", "in the form of Temporal's API" } }, doc = "The worker deployments of the namespace.", errors = server },
  { name = "ml.client.deployment", where = a, args = { { "name", "string", "" } }, returns = { { "table", "in the form of Temporal's API" } }, doc = "A worker deployment and its versions.", errors = server .. "; `NotFound`" },
  { name = "ml.client.set_current_version", where = a, options = "client_version", args = { { "name", "string", "the deployment" }, { "build", "string", "\"\": workers without a version" }, { "options?", "options:client_version", "" } },
    doc = "New runs go to this build from now on.", errors = server .. "; `NotFound`" },
  { name = "ml.client.namespace", where = a, returns = { { "table", "in the form of Temporal's API" } }, doc = "The namespace: its capabilities, limits and retention.", errors = server },
  { name = "ml.client.search_attributes", where = a, returns = { { "table", "{name = type}" } }, doc = "The search attributes of the namespace.", errors = server },
  { name = "ml.client.add_search_attribute", where = a, args = { { "name", "string", "" }, { "type", "string", "Keyword, KeywordList, Text, Int, Double, Bool or Datetime" } }, doc = "Adds a search attribute.", errors = server },
}
return list
