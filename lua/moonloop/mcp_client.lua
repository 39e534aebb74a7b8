-- The client side of the Model Context Protocol, with the handshake (2025-11-25 and before): one request and its answer, over streamable
-- HTTP (one session for each server in this process) or with a program that is started for it. Loaded where activities run.
local core = require "moonloop.core"
local ml = require "moonloop"
local M = {}

local OFFERED = "2025-11-25"
local SPOKEN = { ["2024-11-05"] = true, ["2025-03-26"] = true, ["2025-06-18"] = true, ["2025-11-25"] = true }
local PAGES = 100 -- of a list of tools

local function fail(self, kind, retryable, text, ...) ml.fail(("mcp %s: " .. text):format(self.name, ...), { type = kind, retryable = retryable }) end

local function request_of(id, method, params) return { jsonrpc = "2.0", id = id, method = method, params = params } end

-- The result of an answer, or its error raised.
local function result_of(self, answer)
  if answer.error then
    local text = ("mcp %s: %s"):format(self.name, tostring(answer.error.message))
    ml.fail(text, { type = "McpError", retryable = false, details = { code = answer.error.code, data = answer.error.data } })
  end
  if type(answer.result) ~= "table" then fail(self, "BadResponse", true, "an answer without result") end
  return answer.result
end

-- What a server asks of us gets an answer, so that it does not wait: a ping is answered, the rest is not offered.
local function answer_to(message)
  if message.method == "ping" then return { jsonrpc = "2.0", id = message.id, result = {} } end
  return { jsonrpc = "2.0", id = message.id, error = { code = -32601, message = "this client does not offer " .. tostring(message.method) } }
end

local function decode(self, text)
  local ok, v = pcall(ml.json.decode, text)
  if not ok or type(v) ~= "table" then fail(self, "BadResponse", true, "what came is no message: %s", text:sub(1, 100)) end
  return v
end

-- ---- streamable HTTP ----
local sessions = {} -- by the server's name: { id, version, count }

local function post(self, session, message)
  local headers = { Accept = "application/json, text/event-stream" }
  for key, value in pairs(self.headers or {}) do headers[key] = value end
  if session.id then headers["Mcp-Session-Id"] = session.id end
  if session.version then headers["MCP-Protocol-Version"] = session.version end
  return ml.http.post(self.url, { json = message, headers = headers, auth = self.auth, timeout = self.timeout, sse = true, guard = false })
end

local function text_of(res)
  local parts = {}
  for piece in res:chunks() do parts[#parts + 1] = piece end
  return table.concat(parts)
end

-- The answer to request `id` in what the server sent.
local function read_answer(self, session, res, id)
  if not (res.headers["content-type"] or ""):find("event-stream", 1, true) then return decode(self, text_of(res)) end
  for event in res:events() do
    local v = event.data ~= "" and decode(self, event.data) or {}
    if v.method and v.id ~= nil then
      post(self, session, answer_to(v)):close()
    elseif v.id == id and (v.result ~= nil or v.error ~= nil) then
      res:close()
      return v
    end
  end
  fail(self, "StreamCut", true, "the stream ended before the answer")
end

local function http_request(self, session, method, params)
  session.count = session.count + 1
  local id = session.count
  local res = post(self, session, request_of(id, method, params))
  if res.status == 404 and session.id then -- the server has forgotten the session
    res:close()
    return nil
  end
  if res.status >= 400 then
    local retryable = res.status == 408 or res.status == 429 or res.status >= 500
    fail(self, res.status == 401 and "AuthError" or "HttpError", retryable, "%s answered %d: %s", method, res.status, text_of(res):sub(1, 300))
  end
  return read_answer(self, session, res, id), res
end

local function check_version(self, hello)
  if not SPOKEN[hello.protocolVersion] then fail(self, "Unsupported", false, "it speaks version %s of the protocol", tostring(hello.protocolVersion)) end
  return hello.protocolVersion
end

local function hello_params() return { protocolVersion = OFFERED, capabilities = {}, clientInfo = { name = "moonloop", version = "0.1.0" } } end

local function open_session(self)
  local session = { count = 0 }
  local answer, res = http_request(self, session, "initialize", hello_params())
  session.version = check_version(self, result_of(self, answer))
  session.id = res.headers["mcp-session-id"]
  post(self, session, { jsonrpc = "2.0", method = "notifications/initialized" }):close()
  return session
end

local function over_http(self, fn)
  for _ = 1, 2 do
    local session = sessions[self.name] or open_session(self)
    sessions[self.name] = session
    local gone = false
    local value = fn(function(method, params)
      local answer = not gone and http_request(self, session, method, params)
      gone = not answer
      return answer and result_of(self, answer) or { tools = {}, content = {} }
    end)
    if not gone then return value end
    sessions[self.name] = nil
  end
  fail(self, "SessionLost", true, "the server forgets its sessions")
end

-- ---- a program ----
local function read_message(self, p)
  while true do
    local line, rest = p.text:match("^([^\n]*)\n(.*)$")
    if line then
      p.text = rest
      if line:find("%S") then return decode(self, line) end
    else
      local stream, text = core.process.read(p.handle)
      if not stream then fail(self, "Connection", true, "the program ended: %s", p.errors:sub(-300)) end
      if stream == "stdout" then p.text = p.text .. text else p.errors = (p.errors .. text):sub(-2000) end
    end
  end
end

local function send(self, p, message)
  if not core.process.write(p.handle, ml.json.encode(message) .. "\n") then fail(self, "Connection", true, "the program ended: %s", p.errors:sub(-300)) end
end

local function program_request(self, p, method, params)
  p.count = p.count + 1
  send(self, p, request_of(p.count, method, params))
  while true do
    local v = read_message(self, p)
    if v.method and v.id ~= nil then
      send(self, p, answer_to(v))
    elseif v.id == p.count and (v.result ~= nil or v.error ~= nil) then
      return result_of(self, v)
    end
  end
end

local function over_program(self, fn)
  local p = { text = "", errors = "", count = 0 }
  p.handle = core.process.start { args = self.command, env = self.env, cwd = self.cwd }
  local ended <close> = setmetatable({}, { __close = function() core.process.close(p.handle) end })
  local over, value = ml.timeout(self.timeout, function()
    check_version(self, program_request(self, p, "initialize", hello_params()))
    send(self, p, { jsonrpc = "2.0", method = "notifications/initialized" })
    return fn(function(method, params) return program_request(self, p, method, params) end)
  end)
  if not over then fail(self, "Timeout", true, "the program did not answer in time: %s", p.errors:sub(-300)) end
  return value, ended
end

local function talk(self, fn)
  if self.url then return over_http(self, fn) end
  return (over_program(self, fn))
end

-- ---- what is asked ----
--- The tools: a list of { name, description, input }.
function M.list(self)
  return talk(self, function(request)
    local list, cursor = ml.list {}, nil
    for _ = 1, PAGES do
      local page = request("tools/list", { cursor = cursor })
      for _, tool in ipairs(page.tools or {}) do
        list[#list + 1] = { name = tool.name, description = tool.description or "", input = tool.inputSchema or { type = "object" } }
      end
      cursor = page.nextCursor
      if not cursor or cursor == ml.null then return list end
    end
    fail(self, "BadResponse", false, "its list of tools has no end")
  end)
end

-- What a tool answered: its structured content; else its texts; else the content as it came.
local function value_of(self, tool, r)
  local texts, only_text = {}, true
  for _, part in ipairs(r.content or {}) do
    if part.type == "text" then texts[#texts + 1] = part.text else only_text = false end
  end
  local text = table.concat(texts, "\n")
  if r.isError == true then
    ml.fail(text ~= "" and text or "the tool failed", { type = "McpToolError", retryable = false, details = { server = self.name, tool = tool } })
  end
  if r.structuredContent ~= nil and r.structuredContent ~= ml.null then return r.structuredContent end
  if only_text then return text end
  return { content = r.content }
end

--- Calls a tool.
function M.call(self, tool, args)
  return talk(self, function(request) return value_of(self, tool, request("tools/call", { name = tool, arguments = args })) end)
end

return M
