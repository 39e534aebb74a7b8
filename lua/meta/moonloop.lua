---@meta moonloop
-- Made by scripts/gen_docs.lua from lua/api: do not edit.

---@class moonloop
local ml = {}

---@class moonloop.options.accept
---@field entity? string the id of what the caller asked for; the workflow id
---@field id? string its workflow id, made by default; one that was used is refused
---@field input? any its input
---@field message? string a sentence for people
---@field status? "accepted"|"scheduled" what the caller is told: `accepted` (default) or `scheduled`
---@field workflow string the type that is started

---@class moonloop.options.activity
---@field cancel? "try"|"wait"|"abandon" what a cancellation waits for: `try` asks and goes on (default), `wait` until it has ended, `abandon` lets it run
---@field description? string for people and for lists of tools
---@field heartbeat? string|number how long an attempt may be silent
---@field id? string its id in the history; made by default
---@field input? any a schema, for later use by tools
---@field retry? moonloop.options.retry the retry policy
---@field schedule_to_close? string|number of all attempts together
---@field schedule_to_start? string|number how long it may wait for a worker; not retried
---@field summary? string a few words for people, shown with the event
---@field task_queue? string where workers take it from; the run's own by default
---@field timeout? string|number of one attempt

---@class moonloop.options.agent
---@field cache? boolean marks what stays the same (instructions, tools, the conversation so far) for the provider's prompt cache; OpenAI needs no mark
---@field compact? moonloop.options.agent_compact makes the older part of a long conversation a summary, as a recorded step
---@field description? string for people, and for the agents whose tool it is
---@field handoffs? any[] agents that the conversation may be handed over to
---@field hooks? moonloop.options.agent_hooks functions before and after each call
---@field instructions? any what it is told first: a text, or fn(state) that returns one
---@field limits? moonloop.options.agent_limits of one run of the loop. Live a limit that is reached is a failure, in a workflow it pauses the run and asks
---@field max_tokens? integer the most that an answer may have
---@field model any `provider:name`, ml.env or ml.model
---@field name string up to 50 letters, digits, _ and -
---@field on_tool_error? "tell"|"fail" `tell` the model (default), or `fail`
---@field output? any a schema: the answer is a value that matches it, not a text
---@field reasoning? any how much it thinks: a word (`low`, `medium`, `high`), or with Anthropic a number of tokens
---@field repairs? integer how often an output that breaks its schema is asked for again; 2
---@field retry? moonloop.options.retry of a model call in a workflow; 10 attempts
---@field stream? boolean false: model calls in a workflow do not stream
---@field temperature? number how free it is; the provider's own default
---@field timeout? string|number of one model call in a workflow; 10m
---@field tools? any[] tools, and agents (children in a workflow)

---@class moonloop.options.agent_compact
---@field after integer input tokens of a call from which on it is done
---@field instructions? string how the summary is asked for
---@field keep? integer how many messages stay as they are; 6
---@field max_tokens? integer of the summary

---@class moonloop.options.agent_hooks
---@field after_model? function fn(answer, state)
---@field after_tool? function fn(call, value, state): may return another result
---@field before_model? function fn(request, messages, state): may return other messages
---@field before_tool? function fn(call, state): may return other arguments, or false and a reason to refuse the call

---@class moonloop.options.agent_limits
---@field cost? any money: "0.50 USD"; the model's price must be known
---@field time? string|number how long, without the time that people took to decide
---@field tokens? integer input and output together
---@field tool_calls? integer 100
---@field turns? integer model calls; 20

---@class moonloop.options.agent_run
---@field context? any of the caller, for the tools' boundary
---@field limits? moonloop.options.agent_limits put over those of the definition

---@class moonloop.options.api
---@field auth? any who may call its routes
---@field cors? table { origins = list or "*", headers = list, credentials = boolean, max_age = duration }: which other origins' pages may call; off by default
---@field max_body? integer bytes of a request's body, of its routes
---@field prefix? string before each path: `/v1`
---@field rate? string how often a key may call: `30/min`
---@field scope? any what a caller's key must have
---@field timeout? string|number of its routes

---@class moonloop.options.approve
---@field args? any what it would be done with: bound by its digest, may be edited
---@field deadline? string|number how long the decision may take; for ever
---@field default? "approve"|"reject" what holds when nobody decided in time; `reject`
---@field name string what is to be approved
---@field notify? any an activity or function that is called with the item, and again as a reminder
---@field remind? string|number when `notify` is called again
---@field text? string for the person who decides

---@class moonloop.options.await
---@field summary? string a few words for people, shown where it is told what the run waits for
---@field till? string|integer until a time
---@field timeout? string|number how long

---@class moonloop.options.child
---@field cancel? "try"|"wait"|"wait_requested"|"abandon" as for activities; `wait_requested` waits until the request is recorded
---@field cron? string starts it again by a cron line
---@field execution_timeout? string|number of the whole chain of runs
---@field id? string its workflow id; made by default
---@field id_reuse? "allow"|"allow_failed_only"|"reject"|"terminate" whether the id of a closed run may be used again: `allow` (default), `allow_failed_only`, `reject`; `terminate` ends an open one
---@field memo? table notes that are shown with it
---@field parent_close? "terminate"|"abandon"|"cancel" what happens to it when this run closes: `terminate` (default), `abandon`, `cancel`
---@field retry? moonloop.options.retry starts a failed child again
---@field run_timeout? string|number of one run
---@field search_attributes? table what it can be found by
---@field summary? string a few words for people, shown with the event
---@field task_queue? string where workers take it from; the run's own by default
---@field task_timeout? string|number of one workflow task

---@class moonloop.options.client_complete
---@field activity string the activity's id
---@field failure? any instead: a message, or a table {type, message, retryable, details}
---@field id string workflow id
---@field run_id? string that run of the id only
---@field value? any its result

---@class moonloop.options.client_heartbeat
---@field activity string the activity's id
---@field details? any for the next attempt: ml.info().heartbeat_details
---@field id string workflow id
---@field run_id? string that run of the id only

---@class moonloop.options.client_list
---@field id_prefix? string ids that begin so
---@field limit? integer at most so many; 1000
---@field page? string where to begin: the second value of the list before
---@field query? string on a Temporal server: a query of its visibility store
---@field status? string Running, Blocked, Completed, Failed, Canceled, Terminated, TimedOut, ContinuedAsNew
---@field type? string workflow type

---@class moonloop.options.client_overlap
---@field overlap? "skip"|"buffer_one"|"buffer_all"|"cancel_other"|"terminate_other"|"allow_all" for this once, instead of the schedule's own

---@class moonloop.options.client_schedule
---@field catchup? string|number how late a missed time may still be taken
---@field cron? any a cron line or a list of them
---@field end_at? string|integer not after
---@field every? string|number how often
---@field input? any its argument
---@field jitter? string|number each time is late by chance, at most so much
---@field memo? table notes that are shown with the runs
---@field note? string for people
---@field offset? string|number of each time of `every`
---@field overlap? "skip"|"buffer_one"|"buffer_all"|"cancel_other"|"terminate_other"|"allow_all" when the run before is still open: `skip` (default), `buffer_one`, `buffer_all`, `cancel_other`, `terminate_other`, `allow_all`
---@field pause_on_failure? boolean pauses when a run fails
---@field paused? boolean takes no times until it is unpaused
---@field remaining? integer how many times are left
---@field spec? table when, in the form of Temporal's API (ScheduleSpec)
---@field start_at? string|integer not before
---@field task_queue? string where workers take it from
---@field timezone? string of cron lines and calendars, such as Europe/Vienna; UTC
---@field workflow? string what is started
---@field workflow_id? string ids of the runs begin so; the schedule's id

---@class moonloop.options.client_start
---@field cron? string starts it again by a cron line
---@field delay? string|number before its first task
---@field details? string more words for people
---@field execution_timeout? string|number of the whole chain of runs
---@field id? string its workflow id; made by default
---@field input? any the workflow's argument
---@field memo? table notes that are shown with it
---@field on_closed? "allow"|"failed_only"|"reject" when there was one: `allow` (default), `failed_only`: unless it completed, `reject`
---@field on_open? "fail"|"use_existing"|"terminate" when a run with this id is open: `fail` (default), `use_existing`, `terminate` it first
---@field priority? moonloop.options.priority on a Temporal server: before or after others
---@field retry? moonloop.options.retry starts a failed workflow again
---@field run_timeout? string|number of one run
---@field search_attributes? table what it can be found by
---@field signal? string a signal's name: sent with the start, also to the run that is open already
---@field signal_input? any the signal's value
---@field summary? string a few words for people
---@field task_queue? string where workers take it from; the script's, else the default
---@field task_timeout? string|number of one workflow task; 10s
---@field version? any on a Temporal server: {deployment, build} to pin it to, or "auto_upgrade"

---@class moonloop.options.client_version
---@field force? boolean also when no worker polls for that build

---@class moonloop.options.commit
---@field body? any a value
---@field status? integer of the answer; 200

---@class moonloop.options.continue_as_new
---@field memo? table the new run's notes
---@field retry? moonloop.options.retry the retry policy
---@field run_timeout? string|number of the new run
---@field search_attributes? table what the new run can be found by
---@field task_queue? string where workers take it from; the run's own by default
---@field task_timeout? string|number of one workflow task
---@field workflow? string another workflow type

---@class moonloop.options.db_query
---@field after? string with no order: the rows after this id
---@field desc? boolean from the greatest to the least
---@field limit? integer at most so many, up to 1000; 100
---@field order? string a field
---@field where? table fields and what they are: a value, or { operator, value }

---@class moonloop.options.db_write
---@field version? integer that the row must be at, as db:get gave it

---@class moonloop.options.external
---@field child_only? boolean refuse what is not a child of this run
---@field reason? string for people
---@field run_id? string this run of the id only

---@class moonloop.options.fail
---@field cause? any a failure that led to it, or a table {type, message, ...} that describes one
---@field details? any any value
---@field retry_after? string|number how long the next attempt waits
---@field retryable? boolean whether another attempt may help; true
---@field type? string what callers decide by; `Failure`

---@class moonloop.options.follow
---@field run_id? string one run of the id; the current one

---@class moonloop.options.http
---@field auth? any ml.secret (bearer), { basic = { user, password } }, { header, value } or ml.oauth2
---@field body? any a text or ml.bytes
---@field ca? string a PEM file with the certificates to trust
---@field connect_timeout? string|number until connected; 10s
---@field follow? boolean false: no redirects
---@field form? table by name, sent as a form
---@field guard? boolean reach public addresses only (`AddressBlocked`), also after name look-up and redirects; on in handlers and tools, off elsewhere
---@field headers? table by name; a list sends a name several times; values may be secrets
---@field idempotency_key? string sent as Idempotency-Key
---@field json? any a value, sent as JSON
---@field max_bytes? integer the largest answer; 32 MiB, of a stream no limit
---@field multipart? any[] parts {name, value, filename, content_type}
---@field proxy? boolean use the proxy of the environment
---@field query? table by name, put behind the URL
---@field redirects? integer how many are followed; 5, secrets never to another host
---@field sse? boolean read the body with res:events()
---@field stream? boolean read the body with res:chunks()
---@field timeout? string|number of the whole request; 60s, of a stream 10 minutes

---@class moonloop.options.json_schema
---@field lenient? boolean for a schema from elsewhere: unknown keywords, formats and patterns are left out, not refused

---@class moonloop.options.llm
---@field cache? boolean marks what stays the same (instructions, tools, the conversation so far) for the provider's prompt cache; OpenAI needs no mark
---@field extra? table put into the request's body as it is
---@field instructions? string what the system says before them
---@field max_tokens? integer the most that an answer may have
---@field messages? any a text, or a list of { role, content, tool_calls, tool_call_id }
---@field model? any `provider:name`, ml.env or ml.model
---@field need_price? boolean refuse a model whose price is not known
---@field on_event? function fn(event) for each piece as it comes: {type = `text`, text}, {type = `reasoning`, text}, {type = `tool_call`, id, name}, {type = `restarted`}
---@field output? any a JSON Schema that the answer's text shall match
---@field reasoning? any how much it thinks: a word (`low`, `medium`, `high`), or with Anthropic a number of tokens
---@field retries? integer how often a retryable failure is tried again here, waiting as the provider asks (30s at most); 0
---@field stop? any[] texts that end the answer
---@field temperature? number how free it is; the provider's own default
---@field tool_choice? string `auto`, `none`, `required`, or a tool's name
---@field tools? any[] a list of { name, description, input = JSON Schema }
---@field top_p? number the other measure of that

---@class moonloop.options.local_activity
---@field cancel? "try"|"wait"|"abandon" what a cancellation waits for: `try` asks and goes on (default), `wait` until it has ended, `abandon` lets it run
---@field description? string for people and for lists of tools
---@field input? any a schema, for later use by tools
---@field retry? moonloop.options.retry the retry policy
---@field retry_threshold? string|number a longer wait between attempts becomes a timer in the history; the workflow task's time-out
---@field schedule_to_close? string|number of all attempts together
---@field summary? string a few words for people, shown with the event
---@field timeout? string|number of one attempt

---@class moonloop.options.mcp
---@field auth? any as in ml.http
---@field command? any[] or a program and its arguments, that is started for each list and call
---@field cwd? string the program's folder
---@field env? table of the program; values may be secrets
---@field headers? table sent with each request
---@field name string for messages and in histories
---@field retry? moonloop.options.retry of calls in a workflow; they are made once, since a call whose answer is lost may have had its effect
---@field timeout? string|number of a list or a call; 60s
---@field tools? any[] the names of those that are taken; all
---@field url? any of a server over streamable HTTP; a text or ml.env

---@class moonloop.options.mcp_route
---@field auth? any as of a route
---@field max_body? integer as of a route
---@field origins? any[] pages of these origins may call too, as in `https://app.example`
---@field rate? string as of a route
---@field scope? any as of a route
---@field timeout? string|number as of a route
---@field workflows? boolean offer start_NAME, workflow_status, workflow_signal and workflow_result too; off, since they reach every run

---@class moonloop.options.migrate
---@field unique? any[] names of fields, each unique, or lists of names that are unique together

---@class moonloop.options.model
---@field api? "chat"|"responses"|"anthropic" how it is spoken to, when the name does not say it
---@field api_key? any ml.secret; `OPENAI_API_KEY` or the provider's own name
---@field base_url? any where it answers, also ml.env; `OPENAI_BASE_URL`, `ANTHROPIC_BASE_URL` or the provider's own
---@field cache? boolean marks what stays the same (instructions, tools, the conversation so far) for the provider's prompt cache; OpenAI needs no mark
---@field extra? table put into the request's body as it is
---@field headers? table more headers
---@field max_tokens? integer the most that an answer may have
---@field price? moonloop.options.price what it costs, instead of the table's price
---@field reasoning? any how much it thinks: a word (`low`, `medium`, `high`), or with Anthropic a number of tokens
---@field stop? any[] texts that end the answer
---@field temperature? number how free it is; the provider's own default
---@field timeout? string|number of one call; 10m
---@field top_p? number the other measure of that

---@class moonloop.options.oauth2
---@field client_id? string the client
---@field client_secret? string its secret: ml.secret
---@field refresh_token? string asks by it instead of client credentials
---@field scope? string what is asked for
---@field token_url string where tokens come from

---@class moonloop.options.price
---@field cache_write? number of input written to it
---@field cached? number of input from the prompt cache
---@field input? number USD for a million tokens
---@field output? number USD for a million tokens

---@class moonloop.options.priority
---@field fairness_key? string whose turn it is: keys share
---@field key? integer 1 (first) to 5
---@field weight? number the key's share; 1

---@class moonloop.options.process
---@field [integer] string the program and its arguments
---@field args? any[] the program and its arguments, when the list is not used
---@field check? boolean raise when it ends with another code than 0
---@field cwd? string its folder
---@field env? table variables, put over the environment; values may be secrets
---@field env_clear? boolean start from an empty environment
---@field max_output? integer bytes of each output that are kept
---@field on_stderr? function the same for errors
---@field on_stdout? function fn(piece) as output comes; it is then not in the result
---@field stdin? any a text or ml.bytes
---@field timeout? string|number it is killed then

---@class moonloop.options.promise
---@field base? string the address that others reach `moonloop serve` by, as in `https://api.example.com`; else the environment's MOONLOOP_PUBLIC_URL, else the address that serve listens on
---@field summary? string a few words for lists
---@field timeout? string|number how long it waits, and how long the URL holds; for ever

---@class moonloop.options.receive
---@field till? string|integer until a time
---@field timeout? string|number how long

---@class moonloop.options.response
---@field body? any a text, or ml.bytes
---@field headers? table by name; a list gives one several times
---@field json? any a value, sent as JSON
---@field status? integer 200

---@class moonloop.options.retry
---@field backoff? number each wait is this many times the one before; 2
---@field initial? string|number the wait before the second attempt; 1s
---@field max? string|number the longest wait, also of the first; 100 times the first
---@field max_attempts? integer how many in all; 0 (default): no limit. 1 never runs twice, also when the process is killed
---@field non_retryable? any[] failure types that end the attempts

---@class moonloop.options.route
---@field auth? any who may call: `"bearer"` (tokens of moonloop token), `{ jwt = { secret = ml.secret, or pem or jwks, issuer, audience } }` (HS256 with a secret, else RS256; the principal is `jwt:SUBJECT`), ml.webhook, or `"none"`
---@field cost? integer credits that a call reserves
---@field description? string for people and for lists of tools
---@field idempotency? any where the key of a repeated call is: the header Idempotency-Key (default), `{ field = "ref", required = true }`, `"required"`; false: nowhere
---@field input? any the schema of req.input
---@field max_body? integer bytes of the body; 1 MiB, then 413
---@field output? any the schema of the answer
---@field rate? string how often a key may call: `30/min`
---@field scope? any what the caller's key must have
---@field summary? string a few words for lists
---@field timeout? string|number from the request to the answer (of a stream: to its begin); 30s, then 504

---@class moonloop.options.sleep
---@field summary? string a few words for people, shown with the event

---@class moonloop.options.store_list
---@field after? string keys behind this one
---@field limit? integer how many; 1000, at most 10000
---@field prefix? string of the keys

---@class moonloop.options.store_set
---@field ttl? string|number it is forgotten after this

---@class moonloop.options.stream
---@field headers? table by name
---@field status? integer 200
---@field type? string the content type; `text/event-stream` or `text/plain` by what is sent first

---@class moonloop.options.tool
---@field approval? any a person decides each call in a workflow: true, or { deadline, remind, default, notify, text }, or fn(args) that returns one of these or false
---@field auth? any credentials for it
---@field cost? integer credits that a durable call reserves
---@field deadline? string|number of one call; 15s, of a live tool at most 60s; durable 60s
---@field description? string for people and for lists of tools
---@field effects? boolean true: it changes something in the world; such a tool cannot be live
---@field input? any the schema of its arguments: ml.schema, or a table in JSON Schema
---@field mode? "live"|"durable" `live` (default) answers the caller who waits; `durable` accepts, and a workflow does the work
---@field name string what models and lists call it: up to 64 letters, digits, _ and -
---@field output? any the schema of its result
---@field rate? string how often a key may call it: `30/min`
---@field remote? any the URL of the API that has the tool
---@field retry? moonloop.options.retry the retry policy in a workflow
---@field run? function fn(args, call): its return value is the answer
---@field scope? any what the caller's key must have: a text or a list
---@field task_queue? string where workers take it from; the run's own by default
---@field timeout? string|number of one attempt in a workflow; the deadline and 5s

---@class moonloop.options.update
---@field description? string for people and for lists of tools
---@field validator? function fn(...): raises to refuse; reads only

---@class moonloop.options.webhook
---@field kind? "standard"|"github" Standard Webhooks (default), or GitHub's X-Hub-Signature-256
---@field name? string who calls, in the audit; the route's path
---@field secret any ml.secret, or a list of them while one replaces the other; `whsec_...`, GitHub's as it is
---@field tolerance? string|number how old a message may be; 5m (GitHub's have no time)

---@class moonloop.options.workflow
---@field description? string for people and for lists of tools
---@field execution_timeout? string|number of the whole chain of runs
---@field input? any a schema, for later use by tools
---@field on_error? "block"|"fail" what a plain Lua error does: `block` the run until the script is mended (default), or `fail` it
---@field retry? moonloop.options.retry starts a failed workflow again
---@field run_timeout? string|number of one run
---@field task_queue? string where workers take it from; the run's own by default
---@field task_timeout? string|number of one workflow task; 10s
---@field versioning? "pinned"|"auto_upgrade" on a worker of a deployment: its runs stay on the build they began on (`pinned`), or go on with the current one (`auto_upgrade`); the worker's own default

--- A defined activity. Calling it in a workflow schedules it and waits for its result.
---@class moonloop.activity
---@overload fun(...: any): any
local activity = {}

--- A defined tool. Calling it runs it through its boundary; in a workflow it schedules it and waits.
---@class moonloop.tool
---@field name string
---@field description string
---@field mode string live or durable
---@field input table the schema of its arguments
---@overload fun(args?: table): any
local tool = {}

--- The script's tables: `call.db` of a tool or handler, and `ml.db` in an activity. Reads see what is committed; writes are intents.
---@class moonloop.db
local db = {}

--- Something that will be done: an activity, a child, a spawned coroutine.
---@class moonloop.future
local future = {}

--- A workflow type with options. Calling it starts a child and waits for its result.
---@class moonloop.child
---@overload fun(...: any): any
local child = {}

--- A started child.
---@class moonloop.handle
---@field id string its workflow id
---@field run_id string its run id
local handle = {}

--- A run as ml.client sees it, by its id.
---@class moonloop.run
---@field id string its workflow id
---@field run_id string? its run id
---@field existing boolean? ml.client.start: it was there already
local run = {}

--- An update of a run, by its id.
---@class moonloop.update
---@field id string
---@field workflow_id string of its run
---@field run_id string? of its run
local update = {}

--- A schedule of a Temporal server, by its id.
---@class moonloop.schedule
---@field id string
local schedule = {}

--- Another run, by its id.
---@class moonloop.external
local external = {}

--- The signals of one name, in the order in which they came.
---@class moonloop.channel
local channel = {}

--- What undoes the steps that were done.
---@class moonloop.saga
local saga = {}

--- A named stream of chance: called as math.random is.
---@class moonloop.random
---@overload fun(low?: integer, high?: integer): number
local random = {}

--- A variable of the environment, resolved where it is used: a text in activities, an error in a workflow.
---@class moonloop.env
local env = {}

--- A secret, by its name. Only the HTTP layer (and ml.crypto.hmac_sha256, ml.crypto.equal) reads its value.
---@class moonloop.secret
local secret = {}

--- Credentials whose token is fetched, kept and refreshed in the process.
---@class moonloop.oauth2
local oauth2 = {}

--- A model, instructions and tools, in a loop.
---@class moonloop.agent
local agent = {}

--- A value that somebody outside the run will post to its URL.
---@class moonloop.promise
---@field url string to post the value to
---@field reject_url string to post {reason} to, when there will be no value
---@field token string the part of the URL that names the promise
---@field id string
---@field deadline string? until when it waits
local promise = {}

--- A language model, by its name.
---@class moonloop.model
local model = {}

--- How callers prove themselves: signed webhooks.
---@class moonloop.webhook
local webhook = {}

--- An MCP server whose tools an agent may use (`tools = { server }`).
---@class moonloop.mcp
---@field name string
local mcp = {}

--- A JSON Schema. `tostring` gives its JSON.
---@class moonloop.schema
local schema = {}

--- Bytes that are carried as they are.
---@class moonloop.bytes
local bytes = {}

--- Routes that `moonloop serve` answers.
---@class moonloop.api
local api = {}

--- What a handler is given.
---@class moonloop.request
---@field method string
---@field path string as it was sent
---@field pattern string the route's path
---@field params table<string, string> what stood for {name}
---@field query table<string, string> of a repeated name the first
---@field query_string string as it was sent
---@field headers table<string, string> by lower-case name
---@field body string
---@field input any of a route with `input`: JSON, form or query, and the path's parameters
---@field principal any who calls
---@field remote string address and port
---@field host string
local request = {}

--- An answer with a status and headers.
---@class moonloop.response_out
local response_out = {}

--- An error as an answer (RFC 9457).
---@class moonloop.problem
---@field status integer
---@field type string
---@field title string
---@field detail string?
local problem = {}

--- The events of a run as an answer.
---@class moonloop.follow
local follow = {}

--- An answer that is sent piece by piece.
---@class moonloop.stream
local stream = {}

--- The answer to an HTTP request.
---@class moonloop.response
---@field status integer the status
---@field headers table<string, string> by lower-case name
---@field body string? absent when streamed
---@field url string after redirects
---@field method string that was sent
local response = {}

--- How a program ended.
---@class moonloop.result
---@field code integer its exit code
---@field signal integer that ended it, or 0
---@field stdout string
---@field stderr string
---@field program string
local result = {}

--- A SQLite file of the user's own.
---@class moonloop.sql
local sql = {}

--- What pcall gives for a failure.
---@class moonloop.failure
---@field type string what to decide by
---@field message string for people
---@field retryable boolean whether another attempt may help
---@field kind string application, timeout, canceled, terminated, server, activity or child
---@field details any what ml.fail was given
---@field cause moonloop.failure? what it wraps: an activity's own failure
---@field timeout_type string? of a timeout: start_to_close, schedule_to_start, schedule_to_close or heartbeat
---@field retry_after number? seconds that the next attempt should wait
---@field retry_state string? of an activity or child: why it was not tried again
local failure = {}

--- Defines a workflow. A workflow is replayed from its history, so it does no I/O: that is what activities are for.
--- In: top. Errors: a name that is defined twice or begins with "moonloop."; a definition inside a function.
---@param name string how runs are started and listed
---@param options? moonloop.options.workflow
---@param fn function fn(input): its return value is the run's result
function ml.workflow(name, options, fn) end

--- Defines an activity: ordinary Lua that touches the world. It is retried alone, by default without end (1s, doubling, up to 100s).
--- In: top. Errors: in the workflow that calls it: `ActivityFailure`, whose `cause` is what the last attempt failed with.
---@param name string the activity's type
---@param options? moonloop.options.activity `timeout` or `schedule_to_close` is needed
---@param fn? function the body; without it another worker runs this type
---@return moonloop.activity # call it in a workflow
function ml.activity(name, options, fn) end

--- Defines an activity that runs inside the workflow task: for short, quick steps. Its result is recorded as a marker; an attempt may run again after a crash.
--- In: top. Errors: as ml.activity.
---@param name string the activity's type
---@param options? moonloop.options.local_activity `timeout` or `schedule_to_close` is needed
---@param fn function the body
---@return moonloop.activity # call it in a workflow
function ml.local_activity(name, options, fn) end

--- Defines a tool: one definition for a model's call, a route, an MCP client and a Lua caller. In a workflow it is an activity of its own name. A live tool has a deadline of seconds, and one that declares side effects cannot be live.
--- In: top. Errors: calling it: `ToolTimeout` after the deadline; in a workflow `ActivityFailure`.
---@param spec moonloop.options.tool `name` and `run` are needed
---@return moonloop.tool # call it with a table of arguments
function ml.tool(spec) end

--- Declares what is unique in tables of `call.db`: `ml.migrate { posts = { unique = { "slug" } } }`. Tables need no declaration otherwise.
--- In: top. Errors: rows that are there and break it keep activities from starting.
---@param spec table tables, each with options
function ml.migrate(spec) end

--- What a durable tool or a handler returns: start this workflow. Its rows, the reservation of credits, the idempotency key, the audit row and the start are one commit, or none of them is.
--- In: activity. Errors: for the caller: `OutOfCredit` (402), `Conflict` (409), `RateLimited` (429).
---@param spec moonloop.options.accept `workflow` is needed
---@return table # {status, entityId, workflowId, message}: the answer, to be returned
function ml.accept(spec) end

--- What a handler returns that writes rows and starts nothing.
--- In: activity.
---@param spec? moonloop.options.commit
---@return table # to be returned
function ml.commit(spec) end

--- Will insert a row: nothing is written before `ml.accept` or `ml.commit` is returned (`call.db`), or the activity completes (`ml.db`).
--- In: activity. Errors: a row with this id: `Conflict`.
---@param table string
---@param row table its fields; `id` is made when it has none
---@return table # the row with its id
function db:insert(table, row) end

--- Will change fields of a row.
--- In: activity. Errors: no such row, or another version: `Conflict`.
---@param table string
---@param id string
---@param changes table fields; ml.null removes one
---@param options? moonloop.options.db_write
function db:update(table, id, changes, options) end

--- Will delete a row.
--- In: activity. Errors: as db:update.
---@param table string
---@param id string
---@param options? moonloop.options.db_write
function db:delete(table, id, options) end

--- A row as it is committed.
--- In: activity.
---@param table string
---@param id string
---@return table? # the row
---@return integer? # its version
function db:get(table, id) end

--- The committed rows that fit: `{ where = { state = "open", n = { ">", 3 } }, limit = 10 }`.
--- In: activity.
---@param table string
---@param options? moonloop.options.db_query
---@return table # a list of rows
function db:query(table, options) end

--- Calls the tool and goes on.
--- In: workflow, activity.
---@param args? table arguments
---@return moonloop.future # of its answer
function tool:async(args) end

--- Work to be done once where activities run, before the first of them: open a file, warm a cache. Never in a run.
--- In: top. Errors: an error in it keeps activities from starting.
---@param fn function called once in each state that runs activities
function ml.setup(fn) end

--- Schedules the activity and goes on.
--- In: workflow.
---@param ... any arguments
---@return moonloop.future # of its result
function activity:async(...) end

--- The same activity with other options, for some calls.
--- In: workflow. Errors: an unknown option.
---@param options moonloop.options.activity put over those of the definition
---@return moonloop.activity # the same type with these options
function activity:with(options) end

--- Runs the activity's body as a part of the running one: nothing is recorded for it, and it is not retried alone.
--- In: activity. Errors: in a workflow, or when the body is another worker's.
---@param ... any arguments
---@return any # what the body returns
function activity:inline(...) end

--- Waits. In a workflow durably: a restart of the process does not shorten it, and it costs no memory. In an activity it is not durable.
--- In: workflow, activity.
---@param duration string|number 0 or less: does not wait
---@param options? moonloop.options.sleep in a workflow
function ml.sleep(duration, options) end

--- Waits until a time.
--- In: workflow, activity.
---@param time string|integer a past one: does not wait
---@param options? moonloop.options.sleep in a workflow
function ml.sleep_until(time, options) end

--- Waits until the next multiple of the period since the chain of runs began: a loop over it does not drift, and continue-as-new keeps the beat.
--- In: workflow.
---@param period string|number longer than 0
---@param options? moonloop.options.sleep
function ml.every(period, options) end

--- The time. In a workflow that of the task: it stands still while nothing waits, and replay gives the same.
--- In: workflow, activity.
---@return string # ISO 8601, UTC
function ml.now() end

--- Waits until the predicate is true; it is asked again after everything that happens in the run.
--- In: workflow.
---@param predicate function reads variables of the run; must not wait
---@param limit? string|number|moonloop.options.await how long, or a table of options
---@return boolean # false: the time is over
function ml.await(predicate, limit) end

--- The signals of one name, kept from the start of the run, also those that come before anybody asks.
--- In: workflow.
---@param name string of the signal
---@return moonloop.channel #
function ml.channel(name) end

--- Waits for the next signal.
--- In: workflow.
---@param options? moonloop.options.receive `timeout` or `till`; for ever without
---@return boolean # false: the time is over
---@return any # the signal's values
function channel:receive(options) end

--- The next signal, if one is there; never waits.
--- In: workflow.
---@return boolean # false: none is there
---@return any # the signal's values
function channel:try() end

--- Calls the function for each signal of the name, each in a coroutine of its own, in the order in which they came, also for those that came before.
--- In: workflow.
---@param name string of the signal
---@param fn function fn(...): may wait
function ml.on_signal(name, fn) end

--- Answers a question from outside about the run's state, also after it has ended.
--- In: workflow.
---@param name string of the query
---@param fn function fn(...): returns the answer; must not wait or act
function ml.query(name, fn) end

--- A request from outside that changes the run and gets an answer. The validator refuses by an error, before anything is recorded.
--- In: workflow. Errors: an error of the validator rejects the update; `ml.fail` in the handler fails it.
---@param name string of the update
---@param fn function fn(...): may wait; its return value is the answer
---@param options? moonloop.options.update `validator`
function ml.update(name, fn, options) end

--- Another workflow as a part of this one, with a history of its own.
--- In: workflow. Errors: calling it: `ChildWorkflowFailure`, whose `cause` is the child's failure.
---@param workflow string its type
---@param options? moonloop.options.child
---@return moonloop.child # call it
function ml.child(workflow, options) end

--- Starts a child and goes on.
--- In: workflow.
---@param ... any arguments
---@return moonloop.future # of its result
function child:async(...) end

--- Starts a child and waits until it has started.
--- In: workflow. Errors: the id is taken by a run that is open.
---@param ... any arguments
---@return moonloop.handle # to talk to it
function child:start(...) end

--- Waits for the child's end.
--- In: workflow. Errors: `ChildWorkflowFailure`.
---@return any # the child's result
function handle:result() end

--- Sends a signal to the child and waits until it is delivered.
--- In: workflow.
---@param name string of the signal
---@param ... any values
function handle:signal(name, ...) end

--- Asks the child to cancel; `handle:result` then tells how it ended.
--- In: workflow.
---@param reason? string for people
function handle:cancel(reason) end

--- Another run, to signal or to cancel.
--- In: workflow.
---@param id string its workflow id
---@param run? string|moonloop.options.external its run id, or a table of options
---@return moonloop.external #
function ml.external(id, run) end

--- Sends a signal to the run and waits until it is delivered.
--- In: workflow. Errors: there is no such open run.
---@param name string of the signal
---@param ... any values
function external:signal(name, ...) end

--- Asks the run to cancel.
--- In: workflow. Errors: there is no such open run.
---@param reason? string for people
function external:cancel(reason) end

--- Starts a coroutine. It is cancelled with the coroutine that made it.
--- In: workflow, activity. Errors: its error is raised by `future:await`.
---@param fn function runs beside its maker
---@param ... any arguments
---@return moonloop.future # of its results
function ml.spawn(fn, ...) end

--- Waits for the end and gives the results.
--- In: workflow, activity. Errors: what it failed with; `Canceled` when it was cancelled.
---@return any # the results
function future:await() end

--- Never waits.
--- In: workflow, activity.
---@return boolean # whether it has ended
function future:done() end

--- Asks it to cancel. Its await then raises an ordinary failure of type `Canceled`, which pcall catches.
--- In: workflow, activity.
---@param reason? string for people
function future:cancel(reason) end

--- Waits for all.
--- In: workflow, activity. Errors: the first failure, after the others were cancelled and have ended.
---@param list any[] futures and functions
---@return any[] # the first result of each, in order
---@return integer # how many
function ml.all(list) end

--- Waits for the first to end; the others are cancelled and have ended before it returns.
--- In: workflow, activity. Errors: the failure of the first.
---@param list any[] futures and functions
---@return integer # which one was first
---@return any # its results
function ml.race(list) end

--- Calls a function that must end in time.
--- In: workflow, activity. Errors: what fn raised.
---@param duration string|number how long
---@param fn function what is limited
---@param ... any arguments
---@return boolean # false: the time is over, and fn was cancelled and has ended
---@return any # its results
function ml.timeout(duration, fn, ...) end

--- A body that no cancellation interrupts; what was asked meanwhile is delivered after it. A value that the main function returns from a shield completes the run.
--- In: workflow, activity.
---@param fn function the body
---@param ... any arguments
---@return any # its results
function ml.shield(fn, ...) end

--- Whether a cancellation was asked for: to look at inside a shield.
--- In: workflow, activity.
---@return boolean #
function ml.cancel_requested() end

--- Calls fn; when it fails or is cancelled, runs the compensations in reverse order, shielded, and raises again what ended it. A compensation that fails is logged, the others still run.
--- In: workflow, activity.
---@param fn function fn(saga)
---@return any # its results
function ml.saga(fn) end

--- Remembers how to undo a step.
--- In: workflow, activity.
---@param fn function undoes the step that was just done
---@param ... any its arguments
function saga:compensate(fn, ...) end

--- Raises a failure. Uncaught it fails the workflow; in an activity it fails the attempt, which is retried unless `retryable = false`.
--- In: workflow, activity. Errors: always.
---@param message any for people; or a failure that was caught, to raise it again
---@param options? moonloop.options.fail
function ml.fail(message, options) end

--- Calls the function once in the run, with real time and real chance, and records what it returns.
--- In: workflow.
---@param fn function computes a value; no I/O, no waiting
---@param ... any arguments
---@return any # what was recorded
function ml.side_effect(fn, ...) end

--- Lets a changed script replay runs that began before the change: false in what they have done already, true from there on, recorded.
--- In: workflow.
---@param id string a name of the change
---@return boolean # true: take the new way
function ml.patched(id) end

--- Stands where `ml.patched` stood when no open run takes the old way any more.
--- In: workflow.
---@param id string a name of the change
function ml.deprecate_patch(id) end

--- Ends this run and begins a new one with the same id and an empty history. It does not return.
--- In: workflow. Errors: inside an update handler.
---@param input? any of the new run
---@param options? moonloop.options.continue_as_new
function ml.continue_as_new(input, options) end

--- In a workflow: workflow_id, run_id, workflow_type, task_queue, namespace, attempt, start_time, chain_start, history_length, history_bytes, continue_as_new_suggested, replaying, cancel_requested, first_run_id, original_run_id, continued_run_id, parent, root, cron, timeouts, memo, search_attributes, last_result, last_failure, update and update_id (in an update handler). In an activity: kind, activity_id, activity_type, workflow_id, run_id, workflow_type, task_queue, attempt, is_local, idempotency_key (the same on every attempt), scheduled_at, started_at, deadline, heartbeat_timeout, heartbeat_details (of the attempt before). In a plain script: kind, script. Absent ones are nil.
--- In: workflow, activity.
---@return table # a new one each time
function ml.info() end

--- Reads or changes what the run can be found by.
--- In: workflow.
---@param values? table changes these; ml.null removes
---@return table? # all, when nothing is given
function ml.search_attributes(values) end

--- Reads or changes the notes that are shown with the run.
--- In: workflow.
---@param values? table changes these; ml.null removes
---@return table? # all, when nothing is given
function ml.memo(values) end

--- A new id. In a workflow from the run's seed: the same on replay.
--- In: workflow, activity.
---@return string # 36 characters
function ml.uuid() end

--- Chance. In a workflow from the run's seed. A named stream is for library code: what it draws does not move the numbers of others.
--- In: workflow, activity.
---@param low? integer|string as math.random; in a workflow a name gives a stream of its own
---@param high? integer
---@return number|moonloop.random #
function ml.random(low, high) end

--- An id from a named stream.
--- In: workflow.
---@return string # 36 characters
function random:uuid() end

--- JSON's null. An absent value is nil.
--- In: workflow, activity, top.
---@type any
ml.null = nil

--- Makes a table an array, also an empty one: a fresh `{}` is an object.
--- In: workflow, activity, top.
---@param t table
---@return any[] # the same table
function ml.list(t) end

--- Bytes as a value: arguments, results and signals carry them as they are. Texts are UTF-8.
--- In: workflow, activity, top.
---@param s string any bytes
---@return moonloop.bytes # `tostring` and `#` work on it
function ml.bytes(s) end

ml.json = {}

--- JSON text. Integers keep 64 bits, 1.0 stays a float.
--- In: workflow, activity, top. Errors: what cannot be JSON, with the path to it: `value.a[1]: a function`.
---@param value any
---@param options? table { indent = true }
---@return string # keys sorted
function ml.json.encode(value, options) end

--- The value of a JSON text; null is ml.null, arrays stay arrays when written again.
--- In: workflow, activity, top. Errors: broken JSON, with the byte.
---@param text string|moonloop.bytes
---@return any #
function ml.json.decode(text) end

--- JSON text with line breaks, for people.
--- In: workflow, activity, top. Errors: as ml.json.encode.
---@param value any
---@return string #
function ml.json.pretty(value) end

--- A JSON Schema by its shorthand: `{ caption = "string<=280", tags = "string[]?", platform = { "x", "linkedin" } }`. The guide has the grammar.
--- In: workflow, activity, top. Errors: an unknown type, a bad bound; with the property's name.
---@param form table|string properties with their types; or one type
---@return moonloop.schema #
function ml.schema(form) end

--- A JSON Schema as it is written. The guide lists the keywords.
--- In: workflow, activity, top. Errors: an unknown keyword or format, a bad pattern, a `$ref` that leads nowhere; with the place in the schema.
---@param schema table|string a JSON Schema 2020-12, or its text
---@param options? moonloop.options.json_schema
---@return moonloop.schema #
function ml.json_schema(schema, options) end

--- The JSON Schema that is published. `ml.json.encode` of a schema, or of a value that holds one, writes the same.
--- In: workflow, activity, top.
---@return string # JSON, keys sorted
function schema:json() end

--- Whether a value fits. `pointer` is a JSON pointer (`/items/0/name`), `rule` the keyword it breaks (`maxLength`; `json` when the value cannot be JSON).
--- In: workflow, activity, top. Errors: a check that takes more than 20,000,000 steps, or goes deeper than 300 schemas.
---@param value any
---@return boolean? # true, or nil
---@return any[]? # of `{ pointer, rule, message }`, at most 20
function schema:validate(value) end

ml.time = {}

--- The same as ml.now.
--- In: workflow, activity.
---@return string # ISO 8601, UTC
function ml.time.now() end

--- A time as a number.
--- In: workflow, activity, top. Errors: no time.
---@param time string|integer
---@return integer # nanoseconds since 1970
function ml.time.parse(time) end

--- A time as a text.
--- In: workflow, activity, top. Errors: no time.
---@param time string|integer
---@return string # ISO 8601, UTC
function ml.time.format(time) end

--- A time later by a duration.
--- In: workflow, activity, top.
---@param time string|integer
---@param duration string|number
---@return string # ISO 8601, UTC
function ml.time.add(time, duration) end

--- The distance of two times.
--- In: workflow, activity, top.
---@param a string|integer
---@param b string|integer
---@return number # seconds from b to a
function ml.time.diff(a, b) end

--- A duration as a number.
--- In: workflow, activity, top. Errors: no duration.
---@param duration string|number
---@return number # seconds
function ml.time.duration(duration) end

--- The parts of a time.
--- In: workflow, activity, top.
---@param time string|integer
---@return table # year, month, day, hour, min, sec, wday (1 is Sunday), yday, ns; UTC
function ml.time.fields(time) end

--- A variable of the environment. It may stand at the top of a file; its value is looked up where it is used, in activities only, so that no run depends on the environment.
--- In: workflow, activity, top. Errors: where it is used: in a workflow; `MissingEnv` when it is not set and has no default.
---@param name string of the variable
---@param default? string when it is not set
---@return moonloop.env #
function ml.env(name, default) end

--- A secret by its name. It prints as its name and cannot be logged, recorded or joined to a text: give it to `auth` or to a header.
--- In: workflow, activity, top. Errors: using it as a text; `MissingSecret` when it is not set.
---@param name string of the variable that holds it
---@return moonloop.secret #
function ml.secret(name) end

--- Whether it is set (also to nothing: then false).
--- In: activity.
---@return boolean #
function secret:exists() end

--- Credentials: the token is fetched when first used, refreshed before it ends and once after a 401, kept in the process, never recorded.
--- In: workflow, activity, top. Errors: where it is used: `AuthError`.
---@param options moonloop.options.oauth2
---@return moonloop.oauth2 # for `auth`
function ml.oauth2(options) end

ml.log = {}

--- A log line at level debug, with fields. Replay repeats none.
--- In: workflow, activity.
---@param text any
---@param fields? table
function ml.log.debug(text, fields) end

--- A log line at level info, with fields. Replay repeats none.
--- In: workflow, activity.
---@param text any
---@param fields? table
function ml.log.info(text, fields) end

--- A log line at level warn, with fields. Replay repeats none.
--- In: workflow, activity.
---@param text any
---@param fields? table
function ml.log.warn(text, fields) end

--- A log line at level error, with fields. Replay repeats none.
--- In: workflow, activity.
---@param text any
---@param fields? table
function ml.log.error(text, fields) end

--- Says that the attempt is alive. The next attempt finds the last details in `ml.info().heartbeat_details`. Sent at most a few times in the heartbeat's time-out.
--- In: activity. Errors: a cancellation or a pause of the activity is delivered at the next call that waits.
---@param ... any details: what the next attempt needs to go on
function ml.heartbeat(...) end

--- The activity will be completed from outside: its function's return ends nothing. Its time-outs go on.
--- In: activity. Errors: in a local activity.
---@return string # the token that completes it
function ml.complete_later() end

--- Completes an activity by its token.
--- In: activity. Errors: `NotFound`: nothing waits for that token.
---@param token string of ml.complete_later
---@param value? any the activity's result
function ml.complete(token, value) end

--- Fails an activity by its token.
--- In: activity. Errors: `NotFound`: nothing waits for that token.
---@param token string of ml.complete_later
---@param failure moonloop.failure|string a table {type, message, retryable, details}, or a message
---@param options? moonloop.options.fail with a message
function ml.complete_failed(token, failure, options) end

ml.http = {}

--- Sends an HTTP request and waits for the answer. TLS certificates are checked, connections are used again.
--- In: activity. Errors: `Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming.
---@param method string
---@param url string|moonloop.env
---@param options? moonloop.options.http
---@return moonloop.response # of any status: `:ok()` raises from 400 on
function ml.http.request(method, url, options) end

--- ml.http.request with GET.
--- In: activity. Errors: `Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming.
---@param url string|moonloop.env
---@param options? moonloop.options.http
---@return moonloop.response # of any status: `:ok()` raises from 400 on
function ml.http.get(url, options) end

--- ml.http.request with HEAD.
--- In: activity. Errors: `Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming.
---@param url string|moonloop.env
---@param options? moonloop.options.http
---@return moonloop.response # of any status: `:ok()` raises from 400 on
function ml.http.head(url, options) end

--- ml.http.request with POST.
--- In: activity. Errors: `Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming.
---@param url string|moonloop.env
---@param options? moonloop.options.http
---@return moonloop.response # of any status: `:ok()` raises from 400 on
function ml.http.post(url, options) end

--- ml.http.request with PUT.
--- In: activity. Errors: `Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming.
---@param url string|moonloop.env
---@param options? moonloop.options.http
---@return moonloop.response # of any status: `:ok()` raises from 400 on
function ml.http.put(url, options) end

--- ml.http.request with PATCH.
--- In: activity. Errors: `Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming.
---@param url string|moonloop.env
---@param options? moonloop.options.http
---@return moonloop.response # of any status: `:ok()` raises from 400 on
function ml.http.patch(url, options) end

--- ml.http.request with DELETE.
--- In: activity. Errors: `Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming.
---@param url string|moonloop.env
---@param options? moonloop.options.http
---@return moonloop.response # of any status: `:ok()` raises from 400 on
function ml.http.delete(url, options) end

--- Raises for a status from 400 on. 408, 425, 429 and 5xx are retryable, and a Retry-After is kept; the others are not.
--- In: activity. Errors: `HttpError`, details {status, body}.
---@return moonloop.response # itself, when the status is below 400
function response:ok() end

--- The body as a value.
--- In: activity. Errors: `BadResponse`: not JSON; a streamed response has no body.
---@return any #
function response:json() end

--- The pieces of a streamed body (`stream = true`) as they come.
--- In: activity.
---@return function # for piece in res:chunks()
function response:chunks() end

--- The server-sent events of a streamed body (`sse = true`).
--- In: activity.
---@return function # for event in res:events(): {event, data, id}
function response:events() end

--- Ends a streamed response early.
--- In: activity.
function response:close() end

ml.crypto = {}

--- SHA-256.
--- In: activity.
---@param text string|moonloop.bytes
---@return string # 64 hex digits
function ml.crypto.sha256(text) end

--- HMAC with SHA-256.
--- In: activity.
---@param key string|moonloop.secret
---@param text string|moonloop.bytes
---@return string # 64 hex digits
function ml.crypto.hmac_sha256(key, text) end

--- Bytes from the system's randomness.
--- In: activity.
---@param n integer how many, up to 1 MiB
---@return string # bytes
function ml.crypto.random(n) end

--- Base64.
--- In: activity.
---@param text string|moonloop.bytes
---@return string #
function ml.crypto.base64_encode(text) end

--- The bytes of a base64 text.
--- In: activity. Errors: not base64.
---@param text string
---@return string # bytes
function ml.crypto.base64_decode(text) end

--- Bytes as hex digits.
--- In: activity.
---@param text string|moonloop.bytes
---@return string #
function ml.crypto.hex(text) end

--- The same as ml.uuid.
--- In: activity.
---@return string # 36 characters
function ml.crypto.uuid() end

--- Compares without telling by its time where they differ.
--- In: activity.
---@param a string|moonloop.secret
---@param b string|moonloop.secret
---@return boolean #
function ml.crypto.equal(a, b) end

ml.store = {}

--- A value of the durable key-value store in moonloop's file.
--- In: activity.
---@param namespace string
---@param key string
---@return any # nil: not there
---@return integer? # its version
function ml.store.get(namespace, key) end

--- Keeps a value.
--- In: activity.
---@param namespace string
---@param key string
---@param value any
---@param options? moonloop.options.store_set
---@return integer # the new version
function ml.store.set(namespace, key, value, options) end

--- Keeps a value if nobody changed it meanwhile.
--- In: activity.
---@param namespace string
---@param key string
---@param version integer that it must have; 0: it must not be there
---@param value any
---@param options? moonloop.options.store_set
---@return boolean # false: another version is there
function ml.store.cas(namespace, key, version, value, options) end

--- Forgets a value.
--- In: activity.
---@param namespace string
---@param key string
---@return boolean # whether it was there
function ml.store.delete(namespace, key) end

--- The keys of a namespace.
--- In: activity.
---@param namespace string
---@param options? moonloop.options.store_list
---@return any[] # keys in byte order
function ml.store.list(namespace, options) end

--- A namespace as an object: `s:set("k", 1)`.
--- In: activity.
---@param namespace string
---@return table # get, set, cas, delete, list without the first argument
function ml.store.namespace(namespace) end

--- Opens a SQLite file of your own, apart from moonloop's file. Its work runs off the loop.
--- In: activity.
---@param path string|moonloop.env
---@return moonloop.sql #
function ml.store.sql(path) end

--- Runs a statement.
--- In: activity. Errors: `SqlError`, with SQLite's text.
---@param sql string one statement
---@param parameters? table a list for `?`, or by name for `:name`
---@return table # changes, last_id
function sql:exec(sql, parameters) end

--- Reads rows.
--- In: activity. Errors: `SqlError`, with SQLite's text.
---@param sql string one statement
---@param parameters? table a list for `?`, or by name for `:name`
---@return any[] # rows by column name
function sql:query(sql, parameters) end

--- Ends the use of the file.
--- In: activity.
function sql:close() end

ml.process = {}

--- Runs a program and waits for its end. There is no shell in between. A program that nobody waits for any more is killed with its group.
--- In: activity. Errors: `Timeout`, `TooLarge`, `NotFound` (no such program); `ProcessFailed` with `check = true`.
---@param command moonloop.options.process the program and its arguments as a list, options beside them
---@return moonloop.result # how it ended
function ml.process.run(command) end

--- Raises for another code than 0.
--- In: activity. Errors: `ProcessFailed`, details {code, signal}.
---@return moonloop.result # itself, when the code is 0
function result:ok() end

ml.fs = {}

--- A file's content.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@param options? table { max_bytes = n }; 64 MiB by default
---@return string # bytes
function ml.fs.read(path, options) end

--- Writes a file.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@param data string|moonloop.bytes
---@param options? table { atomic = true }: written beside and renamed
function ml.fs.write(path, data, options) end

--- Adds to a file's end.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@param data string|moonloop.bytes
function ml.fs.append(path, data) end

--- What a path is.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@return table? # size, type (file, directory, other), modified, mode, is_link; nil: not there
function ml.fs.stat(path) end

--- Whether it is there.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@return boolean #
function ml.fs.exists(path) end

--- What a folder holds.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@return any[] # {name, type (file, directory, link, other)} in byte order
function ml.fs.list(path) end

--- Makes a folder, with those above it.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@param options? table { parents = false }: only this one
function ml.fs.mkdir(path, options) end

--- Removes a file or a folder.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param path string|moonloop.env
---@param options? table { recursive = true } for folders
function ml.fs.remove(path, options) end

--- Renames a file or a folder.
--- In: activity.
---@param from string|moonloop.env
---@param to string|moonloop.env
function ml.fs.rename(from, to) end

--- Copies a file.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param from string|moonloop.env
---@param to string|moonloop.env
function ml.fs.copy(from, to) end

--- Makes a folder of its own. Who makes it removes it.
--- In: activity. Errors: `NotFound`, `Exists`, `IoError`.
---@param prefix? string of its name
---@return string # its path
function ml.fs.temp_dir(prefix) end

--- The folder of a path.
--- In: activity.
---@param path string|moonloop.env
---@return string #
function ml.fs.dirname(path) end

--- The last part of a path.
--- In: activity.
---@param path string|moonloop.env
---@return string #
function ml.fs.basename(path) end

ml.client = {}

--- Starts a workflow.
--- In: activity. Errors: `Exists`: the id is taken (`on_open`, `on_closed`); `NotFound`: no script here defines it (embedded engine).
---@param workflow string its type
---@param options? moonloop.options.client_start
---@return moonloop.run #
function ml.client.start(workflow, options) end

--- Starts a workflow and calls an update of it in one request.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `Refused`: the update failed, cause says why.
---@param workflow string its type
---@param options moonloop.options.client_start `on_open = "use_existing"` takes the open run
---@param name string the update
---@param ... any its arguments
---@return any # the update's result
---@return moonloop.run #
function ml.client.update_with_start(workflow, options, name, ...) end

--- The run with this id. Nothing is asked yet.
--- In: activity.
---@param id string workflow id
---@param run_id? string that run of the id only
---@return moonloop.run #
function ml.client.run(id, run_id) end

--- Runs.
--- In: activity.
---@param filter? moonloop.options.client_list
---@return any[] # {workflowId, runId, type, status, startTime ...}, newest first
---@return string? # the option `page` for what follows; nil: that is all
function ml.client.list(filter) end

--- How many runs there are.
--- In: activity.
---@param filter? moonloop.options.client_list
---@return table # {count, byStatus, blocked}
function ml.client.count(filter) end

--- Completes or fails an activity that was left to be completed later, by the ids of its workflow and its own.
--- In: activity. Errors: `NotFound`, `Stale`: it does not wait.
---@param options moonloop.options.client_complete
function ml.client.complete_activity(options) end

--- The heartbeat of an activity that is completed later, by the ids of its workflow and its own.
--- In: activity. Errors: `NotFound`, `Stale`: it does not wait.
---@param options moonloop.options.client_heartbeat
---@return string? # why it shall stop: canceled, paused or reset
function ml.client.heartbeat_activity(options) end

--- Sends a signal.
--- In: activity. Errors: `NotFound`.
---@param name string
---@param value? any
function run:signal(name, value) end

--- Asks the run something.
--- In: activity. Errors: `NotFound`; `Refused`: the query failed.
---@param name string
---@param ... any arguments
---@return any #
function run:query(name, ...) end

--- Calls an update and waits for its result.
--- In: activity. Errors: `NotFound`; `Refused`: it was rejected or failed, cause says why.
---@param name string
---@param ... any arguments
---@return any #
function run:update(name, ...) end

--- Calls an update and waits until it is accepted; its result comes later, also that it was rejected.
--- In: activity. Errors: `NotFound`.
---@param name string
---@param ... any arguments
---@return moonloop.update #
function run:start_update(name, ...) end

--- An update that was called before, also by another process. Nothing is asked yet.
--- In: activity.
---@param id string the update's id
---@return moonloop.update #
function run:get_update(id) end

--- Waits for the update's result, also when its run has ended since.
--- In: activity. Errors: `NotFound`: the run has no such update; `Refused`: it was rejected or failed, cause says why.
---@return any #
function update:result() end

--- Waits for the end, also of the runs that go on in its place.
--- In: activity. Errors: `WorkflowFailed`, `WorkflowCanceled`, `WorkflowTerminated`, `WorkflowTimedOut`, with the run's failure as cause.
---@return any #
function run:result() end

--- What the engine knows of the run.
--- In: activity. Errors: `NotFound`.
---@return table # {workflowId, runId, type, status, taskQueue, pending, open ...}
function run:describe() end

--- The run's history.
--- In: activity. Errors: `NotFound`.
---@return table # {events}, in the JSON form of Temporal's API
function run:history() end

--- Asks the run to stop.
--- In: activity. Errors: `NotFound`.
---@param reason? string
function run:cancel(reason) end

--- Ends the run at once.
--- In: activity. Errors: `NotFound`.
---@param reason? string
function run:terminate(reason) end

--- A new run from an earlier point of the history; the old one is terminated.
--- In: activity. Errors: `NotFound`.
---@param event_id integer of a WorkflowTaskCompleted or WorkflowTaskStarted event
---@param reason? string
---@return moonloop.run # the new one
function run:reset(event_id, reason) end

--- Removes the run and its history.
--- In: activity. Errors: `NotFound`.
function run:delete() end

--- A schedule of a Temporal server: starts a workflow again and again.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `Exists`.
---@param id string
---@param options? moonloop.options.client_schedule makes it; without them it is one that is there
---@return moonloop.schedule #
function ml.client.schedule(id, options) end

--- The schedules of the namespace.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it.
---@param query? string of the visibility store
---@return any[] # in the form of Temporal's API
function ml.client.schedules(query) end

--- What it starts, when, and what it did.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@return table # {schedule, info, memo}, in the form of Temporal's API
function schedule:describe() end

--- Changes what the options name; `every`, `cron` and `spec` replace all times.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@param options moonloop.options.client_schedule
function schedule:update(options) end

--- Takes no times until it is unpaused.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@param note? string
function schedule:pause(note) end

--- Takes times again.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@param note? string
function schedule:unpause(note) end

--- Starts the workflow now.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@param options? moonloop.options.client_overlap
function schedule:trigger(options) end

--- Takes the times of the past between the two.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@param from string|integer
---@param to string|integer
---@param options? moonloop.options.client_overlap
function schedule:backfill(from, to, options) end

--- Removes the schedule; the runs it started go on.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
function schedule:delete() end

--- The worker deployments of the namespace.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it.
---@return any[] # in the form of Temporal's API
function ml.client.deployments() end

--- A worker deployment and its versions.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@param name string
---@return table # in the form of Temporal's API
function ml.client.deployment(name) end

--- New runs go to this build from now on.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it; `NotFound`.
---@param name string the deployment
---@param build string "": workers without a version
---@param options? moonloop.options.client_version
function ml.client.set_current_version(name, build, options) end

--- The namespace: its capabilities, limits and retention.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it.
---@return table # in the form of Temporal's API
function ml.client.namespace() end

--- The search attributes of the namespace.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it.
---@return table # {name = type}
function ml.client.search_attributes() end

--- Adds a search attribute.
--- In: activity. Errors: `Unsupported`: the embedded engine has none of it.
---@param name string
---@param type string Keyword, KeywordList, Text, Int, Double, Bool or Datetime
function ml.client.add_search_attribute(name, type) end

--- Defines an agent: a model, instructions and tools, in a loop (`lua/moonloop/agent.lua`, to be read and copied).
--- In: top.
---@param spec moonloop.options.agent `name` and `model` are needed
---@return moonloop.agent #
function ml.agent(spec) end

--- Runs until the agent has answered. In a workflow each model call (`moonloop.model`) and each tool call is an activity, recorded once; elsewhere it is live.
--- In: workflow, activity. Errors: `LimitReached` (live, or rejected by a person), `BadOutput`, `BadToolCalls`, and the model's own.
---@param input string|any[] a text, or messages { role, content }
---@param options? moonloop.options.agent_run
---@return any # its answer: a text, or with `output` a value
---@return table # {usage, turns, tool_calls, messages, agent}
function agent:run(input, options) end

--- Runs live and gives what happens as it comes; the last event is {type = `done`, result, usage, turns, messages}.
--- In: activity. Errors: `LimitReached` (live, or rejected by a person), `BadOutput`, `BadToolCalls`, and the model's own.
---@param input string|any[] a text, or messages { role, content }
---@param options? moonloop.options.agent_run
---@return function # for event in agent:stream(messages); a handler may return it as it is (server-sent events): {type = text|reasoning|tool_call|tool_result|agent|repair|compacted|restarted|done}
function agent:stream(input, options) end

--- Names an MCP server. An agent that has it among its tools may use all that it offers (or those that `tools` names).
--- In: top.
---@param spec moonloop.options.mcp `name`, and `url` or `command`
---@return moonloop.mcp # to be listed among an agent's tools
function ml.mcp(spec) end

--- The server's tools. In a workflow an activity, recorded once.
--- In: workflow, activity. Errors: `HttpError`, `AuthError`, `Connection`, `Timeout`, `McpError` (what the server says), `Unsupported` (its version).
---@return any[] # of {name, description, input}
function mcp:list() end

--- Calls a tool. In a workflow an activity, tried once unless `retry` says otherwise.
--- In: workflow, activity. Errors: `McpToolError`: the tool failed; as mcp:list.
---@param tool string
---@param args? table
---@return any # its structured content, else its text, else {content}
function mcp:call(tool, args) end

--- Asks a person and waits for the decision: `moonloop approvals`, or the update `moonloop.decide` {id, decision = approve|reject|edit, digest, args, reason, by}.
--- In: workflow.
---@param what moonloop.options.approve
---@return table # {approved, args, edited, reason, by, expired, digest}
function ml.approve(what) end

--- Makes a promise of this run: a signed URL to which somebody outside posts a value. `moonloop serve` takes it; the activity `moonloop.promise_url` makes the URL, recorded once.
--- In: workflow. Errors: `NoAddress`, `NoResumeKey`: the URL could not be made.
---@param options? moonloop.options.promise
---@return moonloop.promise #
function ml.promise(options) end

--- Waits until the promise is resolved.
--- In: workflow. Errors: `Timeout`: nobody did in time; `Rejected`: details = {reason}.
---@return any # the JSON that was posted
function promise:await() end

--- A model: which one, where, with which key. Made at the top of a file; nothing is asked yet.
--- In: workflow, activity, top.
---@param name string|moonloop.env `provider:name`: openai, responses (OpenAI's newer interface), anthropic, openrouter, mistral, groq, deepseek, ollama; any name with a base_url
---@param options? moonloop.options.model
---@return moonloop.model #
function ml.model(name, options) end

--- ml.llm.chat with this model.
--- In: activity. Errors: `RateLimited`, `Overloaded`, `ServerError`, `StreamCut`, `BadResponse`, `EmptyAnswer`: retryable, Retry-After kept; `ContextTooLong`, `Refused`, `BadRequest`, `AuthError`, `UnknownModel`, `OutOfCredit`: not.
---@param request moonloop.options.llm
---@return table # as ml.llm.chat
function model:chat(request) end

ml.llm = {}

--- Asks a model and waits for the whole answer.
--- In: activity. Errors: `RateLimited`, `Overloaded`, `ServerError`, `StreamCut`, `BadResponse`, `EmptyAnswer`: retryable, Retry-After kept; `ContextTooLong`, `Refused`, `BadRequest`, `AuthError`, `UnknownModel`, `OutOfCredit`: not.
---@param request moonloop.options.llm
---@return table # {text, tool_calls, message, stop = end|tools|length, usage = {input, cached, cache_write, output, reasoning, nano_usd}, model, provider}; `message` is what the next request's messages go on with
function ml.llm.chat(request) end

--- Asks a model and gives the pieces of its answer as they come.
--- In: activity. Errors: `RateLimited`, `Overloaded`, `ServerError`, `StreamCut`, `BadResponse`, `EmptyAnswer`: retryable, Retry-After kept; `ContextTooLong`, `Refused`, `BadRequest`, `AuthError`, `UnknownModel`, `OutOfCredit`: not.
---@param request moonloop.options.llm
---@return function # for event in ml.llm.stream{...}; the last one is {type = `done`, answer}
function ml.llm.stream(request) end

--- What a model costs, from the table in `lua/moonloop/llm/prices.lua`.
--- In: activity.
---@param name string of a model
---@return table? # {input, cached, cache_write, output}: USD for a million tokens
function ml.llm.price(name) end

--- Routes that `moonloop serve` answers.
--- In: top.
---@param options? moonloop.options.api
---@return moonloop.api # its methods define routes
function ml.api(options) end

--- A route for GET. What the handler returns is the answer: a table is JSON, a text is text, nil is 204; or ml.response, ml.problem, ml.stream.
--- In: top.
---@param path string `/posts/{id}`; `{rest...}` at the end takes all that is left
---@param options? moonloop.options.route
---@param handler function|moonloop.tool fn(req), or a tool
---@return moonloop.api # itself
function api:get(path, options, handler) end

--- A route for POST. What the handler returns is the answer: a table is JSON, a text is text, nil is 204; or ml.response, ml.problem, ml.stream.
--- In: top.
---@param path string `/posts/{id}`; `{rest...}` at the end takes all that is left
---@param options? moonloop.options.route
---@param handler function|moonloop.tool fn(req), or a tool
---@return moonloop.api # itself
function api:post(path, options, handler) end

--- A route for PUT. What the handler returns is the answer: a table is JSON, a text is text, nil is 204; or ml.response, ml.problem, ml.stream.
--- In: top.
---@param path string `/posts/{id}`; `{rest...}` at the end takes all that is left
---@param options? moonloop.options.route
---@param handler function|moonloop.tool fn(req), or a tool
---@return moonloop.api # itself
function api:put(path, options, handler) end

--- A route for PATCH. What the handler returns is the answer: a table is JSON, a text is text, nil is 204; or ml.response, ml.problem, ml.stream.
--- In: top.
---@param path string `/posts/{id}`; `{rest...}` at the end takes all that is left
---@param options? moonloop.options.route
---@param handler function|moonloop.tool fn(req), or a tool
---@return moonloop.api # itself
function api:patch(path, options, handler) end

--- A route for DELETE. What the handler returns is the answer: a table is JSON, a text is text, nil is 204; or ml.response, ml.problem, ml.stream.
--- In: top.
---@param path string `/posts/{id}`; `{rest...}` at the end takes all that is left
---@param options? moonloop.options.route
---@param handler function|moonloop.tool fn(req), or a tool
---@return moonloop.api # itself
function api:delete(path, options, handler) end

--- A route for another method.
--- In: top.
---@param method string any method
---@param path string
---@param options? moonloop.options.route
---@param handler function|moonloop.tool
---@return moonloop.api # itself
function api:route(method, path, options, handler) end

--- Serves the files of a folder, with ETag and Last-Modified. Hidden files and links are not there.
--- In: top.
---@param path string
---@param folder string beside the script
---@return moonloop.api # itself
function api:static(path, folder) end

--- Offers the script's tools to MCP clients over streamable HTTP; each tool's call goes through its boundary with the caller's token.
--- In: top.
---@param path? string `/mcp`
---@param options? moonloop.options.mcp_route
---@return moonloop.api # itself
function api:mcp(path, options) end

--- Callers that sign the raw body: Standard Webhooks or GitHub. A message that comes twice is handled once: its id is the idempotency key.
--- In: workflow, activity, top.
---@param spec moonloop.options.webhook `secret` is needed
---@return moonloop.webhook # for `auth` of a route
function ml.webhook(spec) end

--- An answer with a status, headers and a body of one's own.
--- In: activity.
---@param options moonloop.options.response
---@return moonloop.response_out #
function ml.response(options) end

--- An error as an answer, `application/problem+json`.
--- In: activity.
---@param problem table as RFC 9457 has them: type (a word; those of the guide's table bring their status), status, title, detail; headers; other members go along
---@return moonloop.problem # to return, or to raise with error()
function ml.problem(problem) end

--- An answer that is sent piece by piece; send waits while the reader is behind. A function that a handler returns is the same.
--- In: activity.
---@param fn function fn(send): send(text), or send { event =, data =, id = } for server-sent events
---@param options? moonloop.options.stream
---@return moonloop.stream #
function ml.stream(fn, options) end

--- An answer that is the events of a run (server-sent events): its history, and what its activities tell by ml.progress. Who comes back with `Last-Event-ID` misses nothing.
--- In: activity.
---@param id string of a workflow
---@param options? moonloop.options.follow
---@return moonloop.follow #
function ml.follow(id, options) end

--- In an activity: tells the listeners of its run (ml.follow) something. It is not recorded, and may be dropped.
--- In: activity.
---@param value any at most 40 KiB of JSON
function ml.progress(value) end

--- The body, decoded.
--- In: handler. Errors: a problem 400, `bad-json`.
---@return any #
function request:json() end

--- The fields of a form (`application/x-www-form-urlencoded`).
--- In: handler. Errors: a problem 415, `media-type`.
---@return table # by name; of a repeated name the first
function request:form() end

return ml
