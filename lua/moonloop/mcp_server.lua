-- The server side of the Model Context Protocol: a JSON-RPC message in, its answer out. Offers the script's tools and, where that is
-- asked for, its workflows (start_NAME, workflow_status, workflow_signal, workflow_result). Keeps nothing between two messages, so it
-- serves versions with the handshake (2024-11-05 to 2025-11-25) and the one without (2026-07-28: each request names its version in
-- _meta) alike. Loaded where handlers run: by `moonloop mcp` (stdio) and by api:mcp (streamable HTTP).
-- Formats: modelcontextprotocol.io/specification, pages lifecycle, tools and transports of these versions.
local core = require "moonloop.core"
local ml = require "moonloop"
local M = {}

local HANDSHAKE = { ["2024-11-05"] = true, ["2025-03-26"] = true, ["2025-06-18"] = true, ["2025-11-25"] = true }
local VERSION = "0.1.0"
local NEWEST, MODERN = "2025-11-25", "2026-07-28"
local META = "io.modelcontextprotocol/"
local PARSE, INVALID, NO_METHOD, BAD_PARAMS, INTERNAL, BAD_VERSION = -32700, -32600, -32601, -32602, -32603, -32022
local WAIT_MOST = 50 -- seconds that workflow_result waits: clients give up after a minute

-- An error of the protocol, raised. A tool that fails is no such error: its result says isError.
local protocol_error = {}
local function refuse(code, text, data) error(setmetatable({ code = code, message = text, data = data }, protocol_error), 0) end

-- ---- what is offered ----
local function object_schema(properties, required)
  return { type = "object", properties = properties, required = required and ml.list(required) or nil, additionalProperties = false }
end

local ID = { type = "string", minLength = 1, description = "the run's workflow id" }

-- What a run is, as workflow_status and its like say it.
local function told(run)
  local d = run:describe()
  return { workflowId = d.workflowId, runId = d.runId, workflow = d.type, status = d.status, startTime = d.startTime, closeTime = d.closeTime }
end

local function result_of(args)
  local run = ml.client.run(args.id)
  local over, ok, value = ml.timeout(args.wait or 10, function() return pcall(run.result, run) end)
  if not over then return { workflowId = args.id, status = "Running", message = "it goes on; ask again later" } end
  if not ok then error(value, 0) end
  return { workflowId = args.id, status = "Completed", result = value }
end

local general = {
  { name = "workflow_status", description = "What a workflow is doing, by its id.", input = object_schema({ id = ID }, { "id" }),
    run = function(args) return told(ml.client.run(args.id)) end },
  { name = "workflow_signal", description = "Sends a signal to a running workflow.",
    input = object_schema({ id = ID, name = { type = "string", description = "of the signal" }, value = { description = "what it carries" } },
      { "id", "name" }),
    run = function(args)
      ml.client.run(args.id):signal(args.name, args.value)
      return { workflowId = args.id, signal = args.name, status = "sent" }
    end },
  { name = "workflow_result", description = "The result of a workflow, when it has ended; waits a little for it.",
    input = object_schema({ id = ID, wait = { type = "number", minimum = 0, maximum = WAIT_MOST, description = "seconds; 10" } }, { "id" }), run = result_of },
}

local function start_tool(definition)
  local options = ml.json.decode(definition.options)
  local name = definition.name
  local input = options.input or { description = "its input" }
  return {
    name = "start_" .. name,
    description = ("%s (starts the workflow %s and returns its id at once; it goes on by itself: workflow_status, workflow_result)"):format(
      options.description or "", name),
    input = object_schema({ input = input, id = { type = "string", minLength = 1, description = "the run's id; made when absent" } },
      options.input and { "input" }),
    run = function(args)
      local run = ml.client.start(name, { id = args.id, input = args.input })
      return { workflowId = run.id, runId = run.run_id, workflow = name, status = "started" }
    end,
  }
end

-- Everything that is offered, by name and in order. Made once for each state.
local offers = {}
local function offered(workflows)
  local kind = workflows and "all" or "tools"
  if offers[kind] then return offers[kind] end
  local list, by_name = {}, {}
  local function add(tool)
    if by_name[tool.name] then return end
    list[#list + 1], by_name[tool.name] = tool, tool
  end
  for _, tool in ipairs(require("moonloop.tool").all) do add(tool) end
  if workflows then
    local any = false
    for _, d in ipairs(core.definitions()) do
      if d.kind == "workflow" and not d.name:find("^moonloop%.") and ("start_" .. d.name):find("^[%w_%-]+$") and #d.name <= 58 then
        add(start_tool(d))
        any = true
      end
    end
    if any then for _, tool in ipairs(general) do add(tool) end end
  end
  offers[kind] = { list = list, by_name = by_name }
  return offers[kind]
end

-- ---- calling ----
local function text_result(text, is_error)
  return { content = ml.list { { type = "text", text = text } }, isError = is_error or false }
end

-- What went wrong, for a model: a typed failure by its words; a defect of the script only by name, the log has the rest.
local function failed(name, e)
  if type(e) == "table" and e.message then
    local text = e.message
    local details = type(e.details) == "table" and e.details.errors
    for _, one in ipairs(type(details) == "table" and details or {}) do
      text = ("%s\n%s: %s"):format(text, one.pointer == "" and "(the whole)" or one.pointer, one.message)
    end
    return text_result(text, true)
  end
  ml.log.error("a tool failed", { tool = name, error = tostring(e) })
  return text_result(("the tool %s failed; the server's log says why"):format(name), true)
end

local function result(value)
  local class = type(value) == "table" and core.class_name(value)
  if class == "moonloop.problem" then return text_result(value.detail or value.title, true) end
  if class == "moonloop.response_out" then
    local body = value.json ~= nil and ml.json.encode(value.json) or tostring(value.body or "")
    return text_result(body, value.status >= 400)
  end
  if value == nil then return { content = ml.list {}, isError = false } end
  if type(value) == "string" then return text_result(value) end
  local json = ml.json.encode(value)
  local r = text_result(json)
  if json:sub(1, 1) == "{" then r.structuredContent = value end
  return r
end

local function check_arguments(tool, args)
  local schema = core.class_name(tool.input) == "schema" and tool.input or tool.schema
  if not schema then
    schema = ml.json_schema(tool.input, { lenient = true })
    tool.schema = schema
  end
  local ok, errors = schema:validate(args)
  if not ok then
    local text = ("tool %s: the arguments do not fit the schema"):format(tool.name)
    ml.fail(text, { type = "InvalidArguments", retryable = false, details = { errors = errors } })
  end
end

local function call_tool(tool, args, context)
  check_arguments(tool, args)
  if core.class_name(tool) ~= "moonloop.tool" then return tool.run(args) end
  local boundary = require "moonloop.boundary"
  return boundary.call(tool, args, { principal = context.principal, scopes = context.scopes, authorization = context.authorization, key = context.key })
end

local methods = {}

function methods.ping() return {} end

methods["tools/list"] = function(_, context)
  local tools = ml.list {}
  for _, tool in ipairs(offered(context.workflows).list) do
    tools[#tools + 1] = { name = tool.name, description = tool.description, inputSchema = tool.input }
  end
  return { tools = tools }
end

methods["tools/call"] = function(params, context)
  if type(params.name) ~= "string" then refuse(BAD_PARAMS, "name is missing: the tool's") end
  local tool = offered(context.workflows).by_name[params.name]
  if not tool then refuse(BAD_PARAMS, "there is no tool " .. params.name) end
  local args = params.arguments
  if args == nil or args == ml.null then args = {} end
  if type(args) ~= "table" then refuse(BAD_PARAMS, "arguments is an object") end
  local ok, value = pcall(call_tool, tool, args, context)
  if not ok then return failed(tool.name, value) end
  return result(value)
end

local function about() return { name = "moonloop", version = VERSION } end

function methods.initialize(params)
  local wanted = params.protocolVersion
  if type(wanted) ~= "string" then refuse(BAD_PARAMS, "protocolVersion is missing") end
  return { protocolVersion = HANDSHAKE[wanted] and wanted or NEWEST, capabilities = { tools = { listChanged = false } }, serverInfo = about() }
end

methods["server/discover"] = function(_, context)
  if not context.modern then refuse(NO_METHOD, "server/discover needs " .. META .. "protocolVersion in _meta") end
  return { supportedVersions = ml.list { MODERN }, capabilities = { tools = { listChanged = false } }, _meta = { [META .. "serverInfo"] = about() } }
end

-- ---- messages ----
-- A request of the version without handshake says so itself. What such an answer must hold is added.
local function modern_version(params)
  local meta = type(params._meta) == "table" and params._meta or {}
  local version = meta[META .. "protocolVersion"]
  if version == nil then return false end
  if version ~= MODERN then
    refuse(BAD_VERSION, "this version of the protocol is not spoken", { supported = ml.list { MODERN }, requested = tostring(version) })
  end
  return true
end

local function answer(message, context)
  local params = message.params
  if params == nil then params = {} end
  if type(params) ~= "table" then refuse(BAD_PARAMS, "params is an object") end
  context.modern = modern_version(params)
  local method = methods[message.method]
  if not method then refuse(NO_METHOD, "there is no method " .. message.method) end
  local value = method(params, context)
  if context.modern then
    value.resultType = "complete"
    if message.method == "tools/list" or message.method == "server/discover" then value.ttlMs, value.cacheScope = 0, "private" end
  end
  return value
end

local function error_answer(id, code, text, data)
  return { jsonrpc = "2.0", id = id == nil and ml.null or id, error = { code = code, message = text, data = data } }
end

--- The answer to a message (a table), or nil when none is due: to a notification, and to an answer. context: {workflows, principal,
--- scopes, authorization, key}.
function M.handle(message, context)
  if type(message) ~= "table" or #message > 0 then return error_answer(nil, INVALID, "a message is a JSON object (there are no batches)") end
  local id, method = message.id, message.method
  if message.jsonrpc ~= "2.0" then return error_answer(nil, INVALID, "jsonrpc is \"2.0\"") end
  if method == nil and (message.result ~= nil or message.error ~= nil) then return nil end
  if type(method) ~= "string" then return error_answer(id, INVALID, "method is missing") end
  if id == nil then return nil end
  if type(id) ~= "string" and math.type(id) ~= "integer" then return error_answer(nil, INVALID, "id is a text or a whole number") end
  local ok, value = pcall(answer, message, context)
  if ok then return { jsonrpc = "2.0", id = id, result = value } end
  if getmetatable(value) == protocol_error then return error_answer(id, value.code, value.message, value.data) end
  ml.log.error("an MCP request failed", { method = method, error = type(value) == "table" and value.message or tostring(value) })
  return error_answer(id, INTERNAL, "it could not be handled; the server's log says why")
end

local function decoded(text)
  local ok, message = pcall(ml.json.decode, text)
  if ok then return message end
  return nil, error_answer(nil, PARSE, "this is not JSON")
end

--- The entry that `moonloop mcp` gives its messages to, as if it were a route's: the answer's text, or nothing.
M.stdio = {
  api = { options = {} }, options = {},
  handler = function(req)
    local message, broken = decoded(req.body)
    if broken then return ml.json.encode(broken) end
    local value = M.handle(message, { workflows = true, principal = "local" })
    return value and ml.json.encode(value) or nil
  end,
}

-- ---- streamable HTTP ----
-- A browser's page must not reach a server on this machine: its Origin is one that the script names, or the host that was asked. That
-- host may be a name of the page's own which points here; so it must be one of this machine's, or the caller must have a token.
local function foreign(origin, req, origins)
  if not origin then return false end
  for _, one in ipairs(origins or {}) do if one == origin then return false end end
  if origin:match("^https?://(.+)$") ~= req.host then return true end
  local name = req.host:gsub(":%d+$", "")
  return not (req.headers.authorization or name == "localhost" or name == "[::1]" or name:find("^127%.[%d.]+$"))
end

--- The handler of api:mcp.
function M.http(options)
  return function(req)
    if foreign(req.headers.origin, req, options.origins) then
      return ml.problem { status = 403, type = "forbidden", detail = "requests from this Origin are not taken" }
    end
    local version = req.headers["mcp-protocol-version"]
    if version and not HANDSHAKE[version] and version ~= MODERN then
      return ml.problem { status = 400, type = "bad-request", detail = "MCP-Protocol-Version " .. version .. " is not spoken here" }
    end
    local message, broken = decoded(req.body)
    if broken then return ml.response { status = 400, json = broken } end
    local context = { workflows = options.workflows, key = req.headers["idempotency-key"] }
    if req.principal and req.principal ~= "" then -- the route has let the caller in
      context.principal, context.scopes = req.principal, req.scopes
    else
      context.authorization = req.headers.authorization
    end
    local value = M.handle(message, context)
    if not value then return ml.response { status = 202 } end
    return ml.response { json = value }
  end
end

return M
