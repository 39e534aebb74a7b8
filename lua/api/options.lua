-- The options tables of the API: one source for the argument checks in C, the LuaLS types and the reference (option_docs.lua says
-- what they do). Types: string, integer, number, boolean, duration, time, table, list, function, any, "options:NAME", "enum:a|b|c".
-- A "?" at the end is for readers (every option may be absent).
return {
  retry = {
    max_attempts = "integer?", initial = "duration?", backoff = "number?", max = "duration?", non_retryable = "list?",
  },
  activity = {
    timeout = "duration?", schedule_to_close = "duration?", schedule_to_start = "duration?", heartbeat = "duration?",
    retry = "options:retry?", task_queue = "string?", cancel = "enum:try|wait|abandon?", id = "string?", summary = "string?",
    description = "string?", input = "any?",
  },
  local_activity = {
    timeout = "duration?", schedule_to_close = "duration?", retry = "options:retry?", retry_threshold = "duration?",
    cancel = "enum:try|wait|abandon?", summary = "string?", description = "string?", input = "any?",
  },
  workflow = {
    task_queue = "string?", on_error = "enum:block|fail?", versioning = "enum:pinned|auto_upgrade?", execution_timeout = "duration?", run_timeout = "duration?",
    task_timeout = "duration?", retry = "options:retry?", description = "string?", input = "any?",
  },
  child = {
    id = "string?", task_queue = "string?", execution_timeout = "duration?", run_timeout = "duration?",
    task_timeout = "duration?", retry = "options:retry?", parent_close = "enum:terminate|abandon|cancel?",
    id_reuse = "enum:allow|allow_failed_only|reject|terminate?", cron = "string?", memo = "table?",
    search_attributes = "table?", cancel = "enum:try|wait|wait_requested|abandon?", summary = "string?",
  },
  tool = {
    name = "string", description = "string?", mode = "enum:live|durable?", input = "any?", output = "any?", run = "function?", effects = "boolean?",
    deadline = "duration?", scope = "any?", rate = "string?", cost = "integer?", timeout = "duration?", retry = "options:retry?", task_queue = "string?",
    remote = "any?", auth = "any?", approval = "any?",
  },
  api = { prefix = "string?", cors = "table?", timeout = "duration?", max_body = "integer?", auth = "any?", scope = "any?", rate = "string?" },
  route = {
    input = "any?", output = "any?", timeout = "duration?", max_body = "integer?", summary = "string?", description = "string?", auth = "any?",
    scope = "any?", rate = "string?", cost = "integer?", idempotency = "any?",
  },
  response = { status = "integer?", headers = "table?", body = "any?", json = "any?" },
  follow = { run_id = "string?" },
  stream = { status = "integer?", headers = "table?", type = "string?" },
  migrate = { unique = "list?" },
  accept = { workflow = "string", id = "string?", entity = "string?", input = "any?", status = "enum:accepted|scheduled?", message = "string?" },
  commit = { status = "integer?", body = "any?" },
  db_write = { version = "integer?" },
  db_query = { where = "table?", order = "string?", desc = "boolean?", limit = "integer?", after = "string?" },
  external = { run_id = "string?", child_only = "boolean?", reason = "string?" },
  continue_as_new = {
    workflow = "string?", task_queue = "string?", run_timeout = "duration?", task_timeout = "duration?",
    retry = "options:retry?", memo = "table?", search_attributes = "table?",
  },
  fail = { type = "string?", retryable = "boolean?", details = "any?", cause = "any?", retry_after = "duration?" },
  await = { timeout = "duration?", till = "time?", summary = "string?" },
  receive = { timeout = "duration?", till = "time?" },
  sleep = { summary = "string?" },
  update = { validator = "function?", description = "string?" },
  http = {
    headers = "table?", query = "table?", json = "any?", form = "table?", multipart = "list?", body = "any?", auth = "any?",
    timeout = "duration?", connect_timeout = "duration?", max_bytes = "integer?", redirects = "integer?", follow = "boolean?",
    stream = "boolean?", sse = "boolean?", proxy = "boolean?", ca = "string?", idempotency_key = "string?", guard = "boolean?",
  },
  mcp_route = {
    workflows = "boolean?", origins = "list?", timeout = "duration?", max_body = "integer?", auth = "any?", scope = "any?", rate = "string?",
  },
  webhook = { secret = "any", kind = "enum:standard|github?", tolerance = "duration?", name = "string?" },
  mcp = {
    name = "string", url = "any?", command = "list?", auth = "any?", headers = "table?", env = "table?", cwd = "string?", tools = "list?", timeout = "duration?",
    retry = "options:retry?",
  },
  json_schema = { lenient = "boolean?" },
  oauth2 = { token_url = "string", client_id = "string?", client_secret = "string?", scope = "string?", refresh_token = "string?" },
  process = {
    args = "list?", cwd = "string?", env = "table?", stdin = "any?", timeout = "duration?", max_output = "integer?",
    check = "boolean?", env_clear = "boolean?", on_stdout = "function?", on_stderr = "function?",
  },
  client_start = {
    id = "string?", input = "any?", task_queue = "string?", on_open = "enum:fail|use_existing|terminate?",
    on_closed = "enum:allow|failed_only|reject?", execution_timeout = "duration?", run_timeout = "duration?", task_timeout = "duration?",
    delay = "duration?", retry = "options:retry?", cron = "string?", memo = "table?", search_attributes = "table?", signal = "string?",
    signal_input = "any?", summary = "string?", details = "string?", priority = "options:priority?", version = "any?",
  },
  priority = { key = "integer?", fairness_key = "string?", weight = "number?" },
  client_list = { status = "string?", type = "string?", id_prefix = "string?", query = "string?", limit = "integer?", page = "string?" },
  client_heartbeat = { id = "string", run_id = "string?", activity = "string", details = "any?" },
  client_complete = { id = "string", run_id = "string?", activity = "string", value = "any?", failure = "any?" },
  client_schedule = {
    workflow = "string?", input = "any?", task_queue = "string?", workflow_id = "string?", every = "duration?", offset = "duration?",
    cron = "any?", timezone = "string?", jitter = "duration?", start_at = "time?", end_at = "time?",
    overlap = "enum:skip|buffer_one|buffer_all|cancel_other|terminate_other|allow_all?", catchup = "duration?", pause_on_failure = "boolean?",
    paused = "boolean?", note = "string?", remaining = "integer?", memo = "table?", spec = "table?",
  },
  model = {
    base_url = "any?", api_key = "any?", api = "enum:chat|responses|anthropic?", headers = "table?", timeout = "duration?", price = "options:price?",
    max_tokens = "integer?", temperature = "number?", top_p = "number?", reasoning = "any?", cache = "boolean?", stop = "list?", extra = "table?",
  },
  price = { input = "number?", cached = "number?", cache_write = "number?", output = "number?" },
  llm = {
    model = "any?", messages = "any?", instructions = "string?", tools = "list?", tool_choice = "string?", output = "any?", max_tokens = "integer?",
    temperature = "number?", top_p = "number?", reasoning = "any?", cache = "boolean?", stop = "list?", extra = "table?", retries = "integer?",
    on_event = "function?", need_price = "boolean?",
  },
  agent = {
    name = "string", model = "any", instructions = "any?", description = "string?", tools = "list?", handoffs = "list?", output = "any?", repairs = "integer?",
    limits = "options:agent_limits?", hooks = "options:agent_hooks?", compact = "options:agent_compact?", on_tool_error = "enum:tell|fail?", stream = "boolean?",
    retry = "options:retry?", timeout = "duration?", max_tokens = "integer?", temperature = "number?", reasoning = "any?", cache = "boolean?",
  },
  agent_limits = { turns = "integer?", tool_calls = "integer?", tokens = "integer?", cost = "any?", time = "duration?" },
  agent_hooks = { before_model = "function?", after_model = "function?", before_tool = "function?", after_tool = "function?" },
  agent_compact = { after = "integer", keep = "integer?", instructions = "string?", max_tokens = "integer?" },
  agent_run = { limits = "options:agent_limits?", context = "any?" },
  approve = {
    name = "string", text = "string?", args = "any?", deadline = "duration?", remind = "duration?", default = "enum:approve|reject?", notify = "any?",
  },
  promise = { timeout = "duration?", summary = "string?", base = "string?" },
  client_overlap = { overlap = "enum:skip|buffer_one|buffer_all|cancel_other|terminate_other|allow_all?" },
  client_version = { force = "boolean?" },
  store_set = { ttl = "duration?" },
  store_list = { prefix = "string?", after = "string?", limit = "integer?" },
}
