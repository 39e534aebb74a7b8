-- host-side: response problem stream follow progress
-- What happens with a request: gate, input, handler, answer. run() is the coroutine of each request (act_serve.c); what it returns,
-- status, headers (name, value, name, value ...) and body, is the answer; a stream has sent its head itself and returns nothing.
local core = require "moonloop.core"
local ml = require "moonloop"

local M = {}

-- ---- headers ----
local function add_headers(to, headers)
  for name, value in pairs(headers) do
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      to[#to + 1] = name
      to[#to + 1] = tostring(one)
    end
  end
  return to
end

local function has(headers, wanted)
  for name in pairs(headers) do
    if type(name) == "string" and name:lower() == wanted then return true end
  end
end

local function typed(headers, kind)
  local to = add_headers({}, headers)
  if not has(headers, "content-type") then
    to[#to + 1] = "Content-Type"
    to[#to + 1] = kind
  end
  return to
end

-- ---- what handlers return ----
local response, problem, stream = {}, {}, {}
local response_class = { __index = response, __name = "moonloop.response_out", __metatable = false }
local problem_class = {
  __index = problem, __name = "moonloop.problem", __metatable = false,
  __tostring = function(self) return ("%d %s: %s"):format(self.status, self.title, self.detail or "") end,
}
local stream_class = { __index = stream, __name = "moonloop.stream", __metatable = false }

local titles = {
  [400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required", [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed",
  [408] = "Request Timeout", [409] = "Conflict", [410] = "Gone", [413] = "Content Too Large", [415] = "Unsupported Media Type", [422] = "Unprocessable Content",
  [423] = "Locked", [425] = "Too Early", [428] = "Precondition Required", [429] = "Too Many Requests", [500] = "Internal Server Error",
  [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

local function check_status(status, name, least)
  if math.type(status) ~= "integer" or status < least or status > 599 then
    error(("%s: status is a number from %d to 599, not %s"):format(name, least, tostring(status)), 4)
  end
end

--- An answer with a status, headers and a body of one's own.
function M.response(t)
  if type(t) ~= "table" then error("ml.response: takes a table { status =, headers =, body = | json = }", 3) end
  core.check_options(t, "response", "ml.response")
  check_status(t.status or 200, "ml.response", 200)
  return setmetatable({ status = t.status or 200, headers = t.headers or {}, body = t.body, json = t.json }, response_class)
end

--- An error as RFC 9457 wants it: returned or raised by a handler, it is the answer. A type of the table in the guide brings its
--- status and title.
function M.problem(t)
  if type(t) ~= "table" then error("ml.problem: takes a table { type =, status =, detail =, ... }", 3) end
  local self = {}
  for key, value in pairs(t) do self[key] = value end
  if type(t.type) == "string" then
    local known, status, title = core.problem(t.type)
    self.type = known or t.type:find(":", 1, true) and t.type or "urn:moonloop:problem:" .. t.type
    self.status, self.title = t.status or status, t.title or title
  end
  check_status(self.status, "ml.problem", 400)
  self.type = self.type or "about:blank"
  self.title = self.title or titles[self.status] or "Error"
  self.headers = nil
  local body = ml.json.encode(self)
  self.body, self.flat = body, typed(t.headers or {}, "application/problem+json") -- act_serve.c reads them of one that was raised
  return setmetatable(self, problem_class)
end

--- An answer that goes out as fn(send) makes it.
function M.stream(fn, options)
  if type(fn) ~= "function" then error("ml.stream: takes fn(send)", 3) end
  options = options or {}
  core.check_options(options, "stream", "ml.stream")
  return setmetatable({ fn = fn, status = options.status or 200, headers = options.headers or {}, type = options.type }, stream_class)
end

local follow_class = { __name = "moonloop.follow", __metatable = false }

--- An answer that is the events of a run: its history from now or from the Last-Event-ID on, and what its activities say.
function M.follow(id, options)
  if type(id) ~= "string" or id == "" then error("ml.follow: the id of a run is a text", 3) end
  options = options or {}
  core.check_options(options, "follow", "ml.follow")
  return setmetatable({ id = id, run_id = options.run_id }, follow_class)
end

--- Tells the listeners of the run something. Not recorded.
function M.progress(value) core.progress(value) end

-- ---- what handlers are given ----
local request = {}

--- The body as JSON; a problem (400) when it is none.
function request:json()
  local ok, value = pcall(ml.json.decode, self.body)
  if ok then return value end
  error(M.problem { type = "bad-json", detail = "the body is not JSON: " .. tostring(type(value) == "table" and value.message or value) }, 0)
end

--- The fields of a form (application/x-www-form-urlencoded).
function request:form()
  local kind = (self.headers["content-type"] or ""):lower():match("^[^;]*"):gsub("%s", "")
  if kind ~= "application/x-www-form-urlencoded" then
    error(M.problem { type = "media-type", detail = "the body is to be application/x-www-form-urlencoded" }, 0)
  end
  return core.form(self.body)
end

M.request_class = { __index = request, __name = "moonloop.request", __metatable = false }
M.classes = { request = request }

-- ---- answers ----
local TEXT, JSON, SSE = "text/plain; charset=utf-8", "application/json", "text/event-stream"

-- Runs a stream: the first thing sent decides between text and events, when the script has not said it.
local function run_stream(s)
  local begun, events = false, s.type == SSE or false
  local function begin(kind)
    begun = true
    local headers = typed(s.headers, s.type or kind)
    if events and not has(s.headers, "cache-control") then add_headers(headers, { ["Cache-Control"] = "no-cache" }) end
    core.stream_head(s.status, headers)
  end
  local function send(chunk)
    local text = core.text_of(chunk)
    if text and not events then
      if not begun then begin(TEXT) end
      return core.stream_push(text)
    end
    if begun and not events then error("send: this stream is one of texts, not of events", 2) end
    events = true
    if not begun then begin(SSE) end
    if text then return core.stream_push(core.sse(nil, text, nil)) end
    if type(chunk) ~= "table" then error("send: a text, or an event { event =, data =, id = }, not a " .. type(chunk), 2) end
    local data = chunk.data
    data = data == nil and "" or core.text_of(data) or ml.json.encode(data)
    core.stream_push(core.sse(chunk.event, data, chunk.id ~= nil and tostring(chunk.id) or nil))
  end
  if s.type then begin(s.type) end
  s.fn(send)
  if not begun then begin(TEXT) end
end

-- The events of an agent or a model. What fails before the first of them is a problem of its own, afterwards an event "error".
local function run_events(events)
  local ok, event = pcall(events)
  if not ok then
    if type(event) == "string" or event.kind == "canceled" then error(event, 0) end
    local wait = event.retry_after and { ["Retry-After"] = math.ceil(event.retry_after) } or nil
    local kind = "model-" .. event.type:gsub("(%l)(%u)", "%1-%2"):lower()
    return M.problem { status = event.retryable and 503 or 502, type = kind, detail = event.message, headers = wait }
  end
  return nil, function(send)
    while ok and event do
      send { event = event.type, data = event }
      ok, event = pcall(events)
    end
    if not ok then
      if type(event) == "string" or event.kind == "canceled" then error(event, 0) end
      send { event = "error", data = { type = event.type, message = event.message, retryable = event.retryable } }
    end
  end
end

-- status, headers, body of what a handler returned.
local function answer(value, req)
  local kind = core.class_name(value)
  local status, headers, body
  if kind == "moonloop.stream" then return run_stream(value) end
  if kind == "moonloop.follow" then return core.follow(value.id, value.run_id, req.headers["last-event-id"]) end
  if kind == "moonloop.events" then
    local wrong, fn = run_events(value)
    if fn then return run_stream { fn = fn, status = 200, headers = {} } end
    kind, value = "moonloop.problem", wrong
  end
  if type(value) == "function" then return run_stream({ fn = value, status = 200, headers = {} }) end
  if kind == "moonloop.answer" then return value.status, value.headers, value.body end
  if kind == "moonloop.problem" then
    status, headers, body = value.status, value.flat, value.body
  elseif kind == "moonloop.response_out" then
    status = value.status
    if value.json ~= nil then
      headers, body = typed(value.headers, JSON), ml.json.encode(value.json)
    elseif value.body ~= nil then
      body = core.text_of(value.body)
      if not body then error("ml.response: body is a text; a table goes into json", 0) end
      headers = typed(value.headers, TEXT)
    else
      headers, body = add_headers({}, value.headers), ""
    end
  elseif value == nil then
    status, headers, body = 204, {}, ""
  else
    status, body = 200, core.text_of(value)
    headers = { "Content-Type", body and TEXT or JSON }
    body = body or ml.json.encode(value)
  end
  return status, headers, body
end

-- ---- other origins ----
local function allowed_origin(cors, origin)
  if not origin then return nil end
  if cors.origins == "*" then return "*" end
  for _, one in ipairs(type(cors.origins) == "table" and cors.origins or { cors.origins }) do
    if one == origin then return origin end
  end
end

local function cors_headers(entry, req)
  local cors = entry.api.options.cors
  local origin = cors and allowed_origin(cors, req.headers.origin)
  local out = { "Vary", "Origin" }
  if not origin then return out end
  out[#out + 1] = "Access-Control-Allow-Origin"
  out[#out + 1] = origin
  if cors.credentials then add_headers(out, { ["Access-Control-Allow-Credentials"] = "true" }) end
  if entry.preflight then
    add_headers(out, {
      ["Access-Control-Allow-Methods"] = req.allow, ["Access-Control-Max-Age"] = core.seconds(cors.max_age or 600) // 1 | 0,
      ["Access-Control-Allow-Headers"] = cors.headers and table.concat(cors.headers, ", ") or "Content-Type, Authorization, Idempotency-Key",
    })
  end
  return out
end

-- ---- one request ----
local function options_of(entry)
  local options = entry.all
  if not options then
    options = {}
    for key, value in pairs(entry.api.options) do options[key] = value end
    for key, value in pairs(entry.options) do options[key] = value end
    entry.all = options
  end
  return options
end

-- What the text of a query, a form or a path stands for, where the schema wants a number or a boolean; else it stays a text.
local function typed_value(text, kind)
  if kind == "boolean" and (text == "true" or text == "false") then return text == "true" end
  if kind == "integer" and text:find("^%-?%d+$") then return math.tointeger(tonumber(text)) or text end
  if kind == "number" and text:find("^%-?[%d.]+[eE%d+-]*$") then return tonumber(text) or text end
  return text
end

local function kinds_of(entry)
  if not entry.kinds then
    entry.kinds = {}
    local known, schema = pcall(ml.json.decode, entry.input:json())
    local properties = known and type(schema) == "table" and schema.properties
    for name, p in pairs(type(properties) == "table" and properties or {}) do entry.kinds[name] = type(p) == "table" and p.type or nil end
  end
  return entry.kinds
end

-- The input of a route with a schema, or of a tool: the body's JSON or form; without a body the query. Path parameters are part of it.
local function input_of(entry, req)
  local kind = (req.headers["content-type"] or ""):lower()
  local kinds = kinds_of(entry)
  local function take(to, from)
    for key, value in pairs(from) do
      if to[key] == nil then to[key] = typed_value(value, kinds[key]) end
    end
    return to
  end
  local input
  if req.body == "" then
    input = take({}, req.query)
  elseif kind:find("^application/x%-www%-form%-urlencoded") then
    input = take({}, req:form())
  else
    input = req:json()
  end
  if type(input) == "table" then take(input, req.params) end
  return input
end

-- What the gate asks of this file: the input, and what a value looks like as an answer.
local seam = { read = input_of }

function seam.render(value)
  local kind = core.class_name(value)
  if kind == "moonloop.stream" or kind == "moonloop.events" or type(value) == "function" then return nil end
  local status, headers, body = answer(value)
  for i = 1, #headers, 2 do
    if headers[i] == "Content-Type" then return status, headers[i + 1], body end
  end
  return status, nil, body
end

local function handle(entry, req)
  if entry.preflight then return M.response { status = 204 } end
  return require("moonloop.gate").pass(entry, options_of(entry), req, seam)
end

--- The coroutine of a request.
function M.run(entry, req)
  setmetatable(req, M.request_class)
  if entry.api.options.cors then core.also(cors_headers(entry, req)) end -- other origins may read what went wrong, too
  return answer(handle(entry, req), req)
end

return M
