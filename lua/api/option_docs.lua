-- What each option of options.lua does; scripts/gen_docs.lua fails on one that is missing here or there.
local queue = "where workers take it from; the run's own by default"
local summary = "a few words for people, shown with the event"
local description = "for people and for lists of tools"
local cancel = "what a cancellation waits for: `try` asks and goes on (default), `wait` until it has ended, `abandon` lets it run"
local max_tokens, temperature, top_p = "the most that an answer may have", "how free it is; the provider's own default", "the other measure of that"
local reasoning = "how much it thinks: a word (`low`, `medium`, `high`), or with Anthropic a number of tokens"
local cache = "marks what stays the same (instructions, tools, the conversation so far) for the provider's prompt cache; OpenAI needs no mark"
local stop = "texts that end the answer"
local extra = "put into the request's body as it is"
return {
  model = {
    base_url = "where it answers, also ml.env; `OPENAI_BASE_URL`, `ANTHROPIC_BASE_URL` or the provider's own", api_key = "ml.secret; `OPENAI_API_KEY` or the provider's own name",
    api = "how it is spoken to, when the name does not say it", headers = "more headers", timeout = "of one call; 10m", price = "what it costs, instead of the table's price",
    max_tokens = max_tokens, temperature = temperature, top_p = top_p, reasoning = reasoning, cache = cache, stop = stop, extra = extra,
  },
  price = { input = "USD for a million tokens", cached = "of input from the prompt cache", cache_write = "of input written to it", output = "USD for a million tokens" },
  llm = {
    model = "`provider:name`, ml.env or ml.model", messages = "a text, or a list of { role, content, tool_calls, tool_call_id }", instructions = "what the system says before them",
    tools = "a list of { name, description, input = JSON Schema }", tool_choice = "`auto`, `none`, `required`, or a tool's name", output = "a JSON Schema that the answer's text shall match",
    max_tokens = max_tokens, temperature = temperature, top_p = top_p, reasoning = reasoning, cache = cache, stop = stop, extra = extra,
    retries = "how often a retryable failure is tried again here, waiting as the provider asks (30s at most); 0", on_event = "fn(event) for each piece as it comes: {type = `text`, text}, {type = `reasoning`, text}, {type = `tool_call`, id, name}, {type = `restarted`}",
    need_price = "refuse a model whose price is not known",
  },
  agent = {
    name = "up to 50 letters, digits, _ and -", model = "`provider:name`, ml.env or ml.model", instructions = "what it is told first: a text, or fn(state) that returns one",
    description = "for people, and for the agents whose tool it is", tools = "tools, and agents (children in a workflow)", handoffs = "agents that the conversation may be handed over to",
    output = "a schema: the answer is a value that matches it, not a text", repairs = "how often an output that breaks its schema is asked for again; 2",
    limits = "of one run of the loop. Live a limit that is reached is a failure, in a workflow it pauses the run and asks", hooks = "functions before and after each call",
    compact = "makes the older part of a long conversation a summary, as a recorded step", on_tool_error = "`tell` the model (default), or `fail`",
    stream = "false: model calls in a workflow do not stream", retry = "of a model call in a workflow; 10 attempts", timeout = "of one model call in a workflow; 10m",
    max_tokens = max_tokens, temperature = temperature, reasoning = reasoning, cache = cache,
  },
  agent_limits = {
    turns = "model calls; 20", tool_calls = "100", tokens = "input and output together", cost = "money: \"0.50 USD\"; the model's price must be known", time = "how long, without the time that people took to decide",
  },
  agent_hooks = {
    before_model = "fn(request, messages, state): may return other messages", after_model = "fn(answer, state)",
    before_tool = "fn(call, state): may return other arguments, or false and a reason to refuse the call", after_tool = "fn(call, value, state): may return another result",
  },
  agent_compact = {
    after = "input tokens of a call from which on it is done", keep = "how many messages stay as they are; 6", instructions = "how the summary is asked for", max_tokens = "of the summary",
  },
  agent_run = { limits = "put over those of the definition", context = "of the caller, for the tools' boundary" },
  approve = {
    name = "what is to be approved", text = "for the person who decides", args = "what it would be done with: bound by its digest, may be edited", deadline = "how long the decision may take; for ever",
    remind = "when `notify` is called again", default = "what holds when nobody decided in time; `reject`", notify = "an activity or function that is called with the item, and again as a reminder",
  },
  promise = {
    timeout = "how long it waits, and how long the URL holds; for ever", summary = "a few words for lists",
    base = "the address that others reach `moonloop serve` by, as in `https://api.example.com`; else the environment's MOONLOOP_PUBLIC_URL, else the address that serve listens on",
  },
  retry = {
    max_attempts = "how many in all; 0 (default): no limit. 1 never runs twice, also when the process is killed", initial = "the wait before the second attempt; 1s",
    backoff = "each wait is this many times the one before; 2", max = "the longest wait, also of the first; 100 times the first", non_retryable = "failure types that end the attempts",
  },
  activity = {
    timeout = "of one attempt", schedule_to_close = "of all attempts together", schedule_to_start = "how long it may wait for a worker; not retried", heartbeat = "how long an attempt may be silent",
    retry = "the retry policy", task_queue = queue, cancel = cancel, id = "its id in the history; made by default", summary = summary, description = description, input = "a schema, for later use by tools",
  },
  local_activity = {
    timeout = "of one attempt", schedule_to_close = "of all attempts together", retry = "the retry policy", retry_threshold = "a longer wait between attempts becomes a timer in the history; the workflow task's time-out",
    cancel = cancel, summary = summary, description = description, input = "a schema, for later use by tools",
  },
  workflow = {
    task_queue = queue, on_error = "what a plain Lua error does: `block` the run until the script is mended (default), or `fail` it", versioning = "on a worker of a deployment: its runs stay on the build they began on (`pinned`), or go on with the current one (`auto_upgrade`); the worker's own default", execution_timeout = "of the whole chain of runs", run_timeout = "of one run",
    task_timeout = "of one workflow task; 10s", retry = "starts a failed workflow again", description = description, input = "a schema, for later use by tools",
  },
  child = {
    id = "its workflow id; made by default", task_queue = queue, execution_timeout = "of the whole chain of runs", run_timeout = "of one run", task_timeout = "of one workflow task",
    retry = "starts a failed child again", parent_close = "what happens to it when this run closes: `terminate` (default), `abandon`, `cancel`",
    id_reuse = "whether the id of a closed run may be used again: `allow` (default), `allow_failed_only`, `reject`; `terminate` ends an open one", cron = "starts it again by a cron line", memo = "notes that are shown with it",
    search_attributes = "what it can be found by", cancel = "as for activities; `wait_requested` waits until the request is recorded", summary = summary,
  },
  tool = {
    name = "what models and lists call it: up to 64 letters, digits, _ and -", description = description, input = "the schema of its arguments: ml.schema, or a table in JSON Schema", output = "the schema of its result",
    mode = "`live` (default) answers the caller who waits; `durable` accepts, and a workflow does the work", run = "fn(args, call): its return value is the answer",
    effects = "true: it changes something in the world; such a tool cannot be live", deadline = "of one call; 15s, of a live tool at most 60s; durable 60s",
    scope = "what the caller's key must have: a text or a list", rate = "how often a key may call it: `30/min`", cost = "credits that a durable call reserves",
    timeout = "of one attempt in a workflow; the deadline and 5s", retry = "the retry policy in a workflow", task_queue = queue, remote = "the URL of the API that has the tool", auth = "credentials for it",
    approval = "a person decides each call in a workflow: true, or { deadline, remind, default, notify, text }, or fn(args) that returns one of these or false",
  },
  api = {
    prefix = "before each path: `/v1`", cors = "{ origins = list or \"*\", headers = list, credentials = boolean, max_age = duration }: which other origins' pages may call; off by default",
    timeout = "of its routes", max_body = "bytes of a request's body, of its routes", auth = "who may call its routes", scope = "what a caller's key must have", rate = "how often a key may call: `30/min`",
  },
  route = {
    input = "the schema of req.input", output = "the schema of the answer", timeout = "from the request to the answer (of a stream: to its begin); 30s, then 504", max_body = "bytes of the body; 1 MiB, then 413",
    summary = "a few words for lists", description = description, auth = "who may call: `\"bearer\"` (tokens of moonloop token), `{ jwt = { secret = ml.secret, or pem or jwks, issuer, audience } }` (HS256 with a secret, else RS256; the principal is `jwt:SUBJECT`), ml.webhook, or `\"none\"`", scope = "what the caller's key must have", rate = "how often a key may call: `30/min`",
    cost = "credits that a call reserves", idempotency = "where the key of a repeated call is: the header Idempotency-Key (default), `{ field = \"ref\", required = true }`, `\"required\"`; false: nowhere",
  },
  response = { status = "200", headers = "by name; a list gives one several times", body = "a text, or ml.bytes", json = "a value, sent as JSON" },
  follow = { run_id = "one run of the id; the current one" },
  stream = { status = "200", headers = "by name", type = "the content type; `text/event-stream` or `text/plain` by what is sent first" },
  migrate = { unique = "names of fields, each unique, or lists of names that are unique together" },
  accept = {
    workflow = "the type that is started", id = "its workflow id, made by default; one that was used is refused", entity = "the id of what the caller asked for; the workflow id",
    input = "its input", status = "what the caller is told: `accepted` (default) or `scheduled`", message = "a sentence for people",
  },
  commit = { status = "of the answer; 200", body = "a value" },
  db_write = { version = "that the row must be at, as db:get gave it" },
  db_query = {
    where = "fields and what they are: a value, or { operator, value }", order = "a field", desc = "from the greatest to the least", limit = "at most so many, up to 1000; 100",
    after = "with no order: the rows after this id",
  },
  external = { run_id = "this run of the id only", child_only = "refuse what is not a child of this run", reason = "for people" },
  continue_as_new = {
    workflow = "another workflow type", task_queue = queue, run_timeout = "of the new run", task_timeout = "of one workflow task", retry = "the retry policy", memo = "the new run's notes", search_attributes = "what the new run can be found by",
  },
  fail = { type = "what callers decide by; `Failure`", retryable = "whether another attempt may help; true", details = "any value", cause = "a failure that led to it, or a table {type, message, ...} that describes one", retry_after = "how long the next attempt waits" },
  await = { timeout = "how long", till = "until a time", summary = "a few words for people, shown where it is told what the run waits for" },
  receive = { timeout = "how long", till = "until a time" },
  sleep = { summary = summary },
  update = { validator = "fn(...): raises to refuse; reads only", description = description },
  http = {
    headers = "by name; a list sends a name several times; values may be secrets", query = "by name, put behind the URL", json = "a value, sent as JSON", form = "by name, sent as a form",
    multipart = "parts {name, value, filename, content_type}", body = "a text or ml.bytes", auth = "ml.secret (bearer), { basic = { user, password } }, { header, value } or ml.oauth2",
    timeout = "of the whole request; 60s, of a stream 10 minutes", connect_timeout = "until connected; 10s", max_bytes = "the largest answer; 32 MiB, of a stream no limit", redirects = "how many are followed; 5, secrets never to another host", follow = "false: no redirects",
    stream = "read the body with res:chunks()", sse = "read the body with res:events()", proxy = "use the proxy of the environment", ca = "a PEM file with the certificates to trust", idempotency_key = "sent as Idempotency-Key",
    guard = "reach public addresses only (`AddressBlocked`), also after name look-up and redirects; on in handlers and tools, off elsewhere",
  },
  mcp_route = {
    workflows = "offer start_NAME, workflow_status, workflow_signal and workflow_result too; off, since they reach every run", origins = "pages of these origins may call too, as in `https://app.example`",
    timeout = "as of a route", max_body = "as of a route", auth = "as of a route", scope = "as of a route", rate = "as of a route",
  },
  webhook = {
    secret = "ml.secret, or a list of them while one replaces the other; `whsec_...`, GitHub's as it is", kind = "Standard Webhooks (default), or GitHub's X-Hub-Signature-256",
    tolerance = "how old a message may be; 5m (GitHub's have no time)", name = "who calls, in the audit; the route's path",
  },
  mcp = {
    name = "for messages and in histories", url = "of a server over streamable HTTP; a text or ml.env", command = "or a program and its arguments, that is started for each list and call",
    auth = "as in ml.http", headers = "sent with each request", env = "of the program; values may be secrets", cwd = "the program's folder",
    tools = "the names of those that are taken; all", timeout = "of a list or a call; 60s",
    retry = "of calls in a workflow; they are made once, since a call whose answer is lost may have had its effect",
  },
  json_schema = { lenient = "for a schema from elsewhere: unknown keywords, formats and patterns are left out, not refused" },
  oauth2 = { token_url = "where tokens come from", client_id = "the client", client_secret = "its secret: ml.secret", scope = "what is asked for", refresh_token = "asks by it instead of client credentials" },
  process = {
    args = "the program and its arguments, when the list is not used", cwd = "its folder", env = "variables, put over the environment; values may be secrets", stdin = "a text or ml.bytes", timeout = "it is killed then", max_output = "bytes of each output that are kept",
    check = "raise when it ends with another code than 0", env_clear = "start from an empty environment",
    on_stdout = "fn(piece) as output comes; it is then not in the result", on_stderr = "the same for errors",
  },
  client_start = {
    id = "its workflow id; made by default", input = "the workflow's argument", task_queue = "where workers take it from; the script's, else the default",
    on_open = "when a run with this id is open: `fail` (default), `use_existing`, `terminate` it first",
    on_closed = "when there was one: `allow` (default), `failed_only`: unless it completed, `reject`", execution_timeout = "of the whole chain of runs",
    run_timeout = "of one run", task_timeout = "of one workflow task; 10s", delay = "before its first task", retry = "starts a failed workflow again",
    cron = "starts it again by a cron line", memo = "notes that are shown with it", search_attributes = "what it can be found by",
    signal = "a signal's name: sent with the start, also to the run that is open already", signal_input = "the signal's value",
    summary = "a few words for people", details = "more words for people", priority = "on a Temporal server: before or after others",
    version = "on a Temporal server: {deployment, build} to pin it to, or \"auto_upgrade\"",
  },
  priority = { key = "1 (first) to 5", fairness_key = "whose turn it is: keys share", weight = "the key's share; 1" },
  client_list = {
    status = "Running, Blocked, Completed, Failed, Canceled, Terminated, TimedOut, ContinuedAsNew", type = "workflow type", id_prefix = "ids that begin so",
    query = "on a Temporal server: a query of its visibility store", limit = "at most so many; 1000",
    page = "where to begin: the second value of the list before",
  },
  client_heartbeat = {
    id = "workflow id", run_id = "that run of the id only", activity = "the activity's id", details = "for the next attempt: ml.info().heartbeat_details",
  },
  client_complete = {
    id = "workflow id", run_id = "that run of the id only", activity = "the activity's id", value = "its result",
    failure = "instead: a message, or a table {type, message, retryable, details}",
  },
  client_schedule = {
    workflow = "what is started", input = "its argument", task_queue = "where workers take it from", workflow_id = "ids of the runs begin so; the schedule's id",
    every = "how often", offset = "of each time of `every`", cron = "a cron line or a list of them", timezone = "of cron lines and calendars, such as Europe/Vienna; UTC",
    jitter = "each time is late by chance, at most so much", start_at = "not before", end_at = "not after",
    overlap = "when the run before is still open: `skip` (default), `buffer_one`, `buffer_all`, `cancel_other`, `terminate_other`, `allow_all`",
    catchup = "how late a missed time may still be taken", pause_on_failure = "pauses when a run fails", paused = "takes no times until it is unpaused",
    note = "for people", remaining = "how many times are left", memo = "notes that are shown with the runs", spec = "when, in the form of Temporal's API (ScheduleSpec)",
  },
  client_overlap = { overlap = "for this once, instead of the schedule's own" },
  client_version = { force = "also when no worker polls for that build" },
  store_set = { ttl = "it is forgotten after this" },
  store_list = { prefix = "of the keys", after = "keys behind this one", limit = "how many; 1000, at most 10000" },
}
