-- host-side: accept commit db
-- The boundary as Lua sees it: what stands between a caller and a tool's `run` or a route's handler. A call enters (who, may they,
-- asked before, how often), runs its handler, and leaves: what the handler returned says what is written, in one commit. The work is
-- done in src/api; here are its words. Loaded where activities and handlers run.
local core = require "moonloop.core"
local ml = require "moonloop"
local M = { classes = {} }

local function host(name, verb, args) return core.host_request(name, verb, args) end

-- ---- rows ----
-- Intents are kept in a list until the call leaves; `sink` takes them one by one instead (ml.db).
local db = {}
M.classes.db = db
local class = { __index = db, __name = "moonloop.db", __metatable = false }
local hidden = setmetatable({}, { __mode = "k" })

local function check_name(name, what, fname)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") or #name > 63 then
    error(("%s: %s is a letter or _, then letters, digits and _, 63 at most"):format(fname, what), 4)
  end
end

local function add(self, fname, kind, table_name, id, row, version)
  check_name(table_name, "the table", fname)
  if type(id) ~= "string" or id == "" then error(fname .. ": the id is a text", 3) end
  local intent = { kind = kind, table = table_name, id = id, row = row and ml.json.encode(row), version = version }
  local to = hidden[self]
  if to.sink then
    if not core.add_intent(ml.json.encode(intent)) then
      error(fname .. ": ml.db writes with the end of an activity (not of a local one); a tool or a handler has call.db", 3)
    end
  else
    to.intents[#to.intents + 1] = intent
  end
end

local function check_row(row, fname)
  if type(row) ~= "table" or #row > 0 then error(fname .. ": a row is a table with names", 3) end
end

--- Will insert the row; its id is made here, when it has none. The row with its id.
function db:insert(table_name, row)
  check_row(row, "db:insert")
  local copy = {}
  for key, value in pairs(row) do
    check_name(key, "a field", "db:insert")
    copy[key] = value
  end
  if copy.id == nil then copy.id = ml.uuid() end
  add(self, "db:insert", "insert", table_name, copy.id, copy)
  return copy
end

local function version_of(options, fname)
  core.check_options(options or {}, "db_write", fname)
  return options and options.version
end

--- Will change fields of the row (ml.null removes one).
function db:update(table_name, id, changes, options)
  check_row(changes, "db:update")
  add(self, "db:update", "update", table_name, id, changes, version_of(options, "db:update"))
end

function db:delete(table_name, id, options)
  add(self, "db:delete", "delete", table_name, id, nil, version_of(options, "db:delete"))
end

--- The row as it is committed, and its version; nil when there is none.
function db.get(_, table_name, id)
  check_name(table_name, "the table", "db:get")
  if type(id) ~= "string" then error("db:get: the id is a text", 2) end
  local r = host("db:get", "row_get", { table = table_name, id = id })
  return r.row, r.version
end

local ops = { ["="] = "=", ["~="] = "<>", ["<>"] = "<>", ["<"] = "<", ["<="] = "<=", [">"] = ">", [">="] = ">=" }

--- Committed rows that fit: { where = { state = "open", n = { ">", 3 } }, order, desc, limit, after }.
function db.query(_, table_name, options)
  check_name(table_name, "the table", "db:query")
  options = options or {}
  core.check_options(options, "db_query", "db:query")
  local where = {}
  for field, value in pairs(options.where or {}) do
    check_name(field, "a field", "db:query")
    local op = "="
    if type(value) == "table" then op, value = value[1], value[2] end
    if not ops[op] then error("db:query: a condition is a value, or { operator, value } with = ~= < <= > >=", 2) end
    if type(value) == "table" then error("db:query: a field is compared with a text, a number or a boolean", 2) end
    where[#where + 1] = { field = field, op = ops[op], value = ml.json.encode(value) }
  end
  return host("db:query", "row_query", { table = table_name, where = ml.list(where), order = options.order, desc = options.desc, limit = options.limit,
    after = options.after })
end

local function new_db(to)
  local self = setmetatable({}, class)
  hidden[self] = to
  return self
end

--- In an activity: the same, written in the commit that records its completion.
M.db = new_db { sink = true }

--- What ml.migrate declared, where activities run.
function M.migrate(spec)
  for table_name, options in pairs(spec) do
    for _, fields in ipairs(options.unique or {}) do
      if type(fields) == "string" then fields = { fields } end
      host("ml.migrate", "row_unique", { table = table_name, fields = ml.list(fields) })
    end
  end
end

-- ---- what a handler returns ----
local returned = setmetatable({}, { __mode = "k" })

--- Says that a workflow shall be started, with all that the call wrote. Return it.
function M.accept(spec)
  core.check_options(spec, "accept", "ml.accept")
  if type(spec.workflow) ~= "string" then error("ml.accept: workflow is the type that is started", 2) end
  local id, info = spec.id or spec.workflow .. "-" .. ml.uuid(), ml.info()
  local answer = { status = spec.status or "accepted", entityId = spec.entity or id, workflowId = id, message = spec.message }
  returned[answer] = { accept = { workflow = spec.workflow, id = id, entity = answer.entityId, input = spec.input ~= nil and ml.json.encode(spec.input) or nil,
    underId = info.workflow_id, underRun = info.run_id },
    status = 202 }
  return answer
end

--- Says that what the call wrote shall be kept, without a run. Return it.
function M.commit(spec)
  spec = spec or {}
  core.check_options(spec, "commit", "ml.commit")
  local answer = {}
  returned[answer] = { commit = true, status = spec.status or 200, body = spec.body }
  return answer
end

-- ---- a call ----
--- A problem as an answer (RFC 9457); errors is a list of { pointer, rule, message }.
function M.problem(word, detail, errors)
  local p = host("the boundary", "boundary_problem", { type = word, detail = detail, errors = errors and ml.json.encode(errors) })
  return { status = p.status, body = p.body, problem = true, type = word, errors = errors }
end

local function class_of(value) return type(value) == "table" and core.class_name(value) or nil end

-- Ends the call without writing: who waits for its key is told the same.
local function drop(entry, answer)
  entry.left = true
  host("the boundary", "boundary_fail", { call = entry.call, status = answer.status, body = answer.body, type = answer.type })
  return answer
end

-- What is raised with ml.problem is an answer; anything else is the handler's failure.
local function failed(entry, e)
  local answer
  if class_of(e) == "moonloop.problem" then
    answer = { status = e.status, body = e.body, problem = true, type = e.type, headers = e.flat }
  else
    answer = M.problem("internal", "the handler failed")
    answer.failure = e
  end
  return drop(entry, answer)
end

-- status, content type and body of a value, as JSON.
local function as_json(value)
  if value == nil then return 204, nil, "" end
  return 200, nil, ml.json.encode(value)
end

local function leave(entry, call, value, render)
  local said = type(value) == "table" and returned[value] or {}
  local status, kind, body
  if said.accept then
    status, body = 202, ml.json.encode(value)
  elseif said.commit then
    status, kind, body = render(said.body)
    status = said.status or status
  else
    status, kind, body = render(value)
    if not status then -- a stream: what it sends cannot be given again
      drop(entry, M.problem("conflict", "the same request is being answered, by a stream"))
      return { value = value, stream = true }
    end
    if status >= 400 then return drop(entry, { status = status, body = body, problem = true, contentType = kind, type = "problem" }) end
  end
  entry.left = true
  return host("the boundary", "boundary_leave", { call = entry.call, accept = said.accept, commit = said.commit, contentType = kind,
    intents = ml.list(hidden[call.db].intents), status = status, body = body })
end

--- What a handler is given: rows, and for whom it acts.
function M.new_call(request)
  return { db = new_db { intents = {} }, key = request.key, tool = request.tool, principal = "", scopes = "" }
end

--- Whether it, or what was returned, asks for something to be written.
function M.writes(call, value) return #hidden[call.db].intents > 0 or type(value) == "table" and returned[value] ~= nil end

--- Takes a call through the boundary: enters with the request, calls handler(args, call), leaves. An answer { status, body (text),
--- contentType, problem, type, retryAfter, replayed, failure }, or { value, stream = true }. request: {route, authorization | principal
--- and scopes, auth, scope, rate, cost, key, body (the text that the key stands for), input (a schema), prepare (fn: the arguments)}.
--- render(value) gives status, content type and body; nil for what is a stream.
function M.pass(request, handler, args, render, call)
  local entry = host("the boundary", "boundary_enter", {
    route = request.route, authorization = request.authorization, principal = request.principal, scopes = request.scopes, auth = request.auth,
    scope = request.scope, rate = request.rate, cost = request.cost, key = request.key, body = request.body,
  })
  if entry.answer then return entry.answer end
  local _ <close> = setmetatable({}, { __close = function() -- cut off: by a time-out, or by the caller who left
    if not entry.left then drop(entry, M.problem("unavailable", "the call was cut off")) end
  end })
  call = call or M.new_call(request)
  call.principal, call.scopes = entry.principal, entry.scopes
  if request.prepare then
    local ready, given = pcall(request.prepare, call)
    if not ready then return failed(entry, given) end
    args = given
  end
  local input, fits, errors = request.input, true, nil
  if input and input.validate then fits, errors = input:validate(args) end
  if not fits then
    local answer = M.problem("invalid-body", "the arguments do not fit the schema", errors)
    return drop(entry, answer)
  end
  local ok, value = pcall(handler, args, call)
  if not ok then return failed(entry, value) end
  return leave(entry, call, value, render or as_json)
end

-- ---- tools ----
local kinds = { [401] = "Unauthorized", [402] = "OutOfCredit", [403] = "Forbidden", [409] = "Conflict", [422] = "InvalidArguments", [429] = "RateLimited",
  [503] = "Unavailable" }
local again = { RateLimited = true, Unavailable = true }

-- A problem as a failure, for a Lua caller.
local function raise(tool, answer)
  if answer.failure ~= nil then error(answer.failure, 0) end
  local problem = ml.json.decode(answer.body)
  local kind = kinds[answer.status] or "ToolFailed"
  ml.fail(("tool %s: %s"):format(tool.name, problem.detail or problem.title), { type = kind, retryable = again[kind] or false, details = problem,
    retry_after = answer.retryAfter and answer.retryAfter > 0 and answer.retryAfter or nil })
end

-- A live tool: nothing of it outlives the call, so a deadline may end it.
local function live(tool)
  return function(args, call)
    local ok, value = ml.timeout(tool.deadline, tool.run, args, call)
    if not ok then
      ml.fail(("tool %s did not answer within %s"):format(tool.name, type(tool.deadline) == "number" and tool.deadline .. "s" or tool.deadline),
        { type = "ToolTimeout", retryable = true })
    end
    return value
  end
end

-- A tool that is elsewhere: what its API answers, with its status.
local function remote(tool)
  return function(args, call)
    local there = require "moonloop.remote"
    local ok, value, status = pcall(there.call, tool, args, call.key)
    if not ok then error(there.problem(tool, value), 0) end
    if type(value) == "table" then returned[value] = { commit = true, body = value, status = status } end
    return value
  end
end

local function words(list)
  if type(list) == "table" then return table.concat(list, " ") end
  return list
end

-- For whom the running activity acts: the principal of its run's accept.
local function caller()
  local json = core.caller()
  if not json then return "local", "" end
  local header = ml.json.decode(json)
  return header.principal or "local", words(header.scopes) or ""
end

--- The request with which a tool's call enters. context: {principal, scopes, key} or {authorization, key}; absent, those of the
--- activity that calls.
function M.request_of(tool, args, context)
  local info = ml.info()
  local request = { route = "tool " .. tool.name, auth = true, tool = tool.name, scope = words(tool.scope), rate = tool.rate, input = tool.input }
  if context then
    request.principal, request.scopes, request.authorization, request.key = context.principal, context.scopes, context.authorization, context.key
  else
    request.principal, request.scopes = caller()
    if tool.mode == "durable" and info.activity_type == tool.name then request.key = info.idempotency_key end
  end
  if tool.mode == "durable" then request.cost = tool.cost end
  if request.key then request.body = ml.json.encode(args) end
  return request
end

--- What the tool does with (args, call).
function M.handler(tool)
  if tool.remote then return remote(tool) end
  return tool.mode == "durable" and tool.run or live(tool)
end

--- The answer of a tool's call: as M.pass gives it.
function M.answer(tool, args, context)
  return M.pass(M.request_of(tool, args, context), M.handler(tool), args)
end

-- A live tool that nobody has to be let in for, and that counts nothing, needs no boundary.
local function open(tool, context)
  if tool.mode == "durable" or tool.scope or tool.rate then return false end
  return not context or not context.authorization
end

--- Calls the tool with arguments (a table; absent: none): its value, or a failure raised.
function M.call(tool, args, context)
  if args == nil then args = {} end
  if type(args) ~= "table" then error(("tool %s takes a table of arguments, not a %s"):format(tool.name, type(args)), 3) end
  if tool.run and open(tool, context) then
    local fits, errors = true, nil
    if tool.input and tool.input.validate then fits, errors = tool.input:validate(args) end
    if not fits then
      ml.fail(("tool %s: the arguments do not fit the schema: %s %s"):format(tool.name, errors[1].pointer, errors[1].message),
        { type = "InvalidArguments", retryable = false, details = { errors = errors } })
    end
    return live(tool)(args, { db = new_db { intents = {} }, tool = tool.name, principal = context and context.principal or caller() })
  end
  if tool.remote and not context then return (require("moonloop.remote").call(tool, args)) end -- its boundary is there
  local answer = M.answer(tool, args, context)
  if answer.status >= 300 then raise(tool, answer) end
  if answer.body == "" then return nil end
  return ml.json.decode(answer.body)
end

return M
