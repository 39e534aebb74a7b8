-- host-side: llm
-- ml.llm: asks a model over HTTP. One neutral form of messages and answers; each provider (moonloop.llm.*) translates it to
-- its own wire form and back. Everything that can go wrong is a typed failure that says whether another attempt may help.
--
-- A message: { role = "system"|"user"|"assistant"|"tool", content = text or list of parts, tool_calls, tool_call_id, cache }.
-- A part: { type = "text", text } | { type = "image"|"file", url | data (base64) | file (an id) | path, media_type, name }.
-- A tool call: { id, name, arguments } (a table), or { id, name, raw, error } when its arguments are not JSON.
-- An answer: { message, text, tool_calls, stop = "end"|"tools"|"length", usage, model, provider, id }.
-- Usage: { input, cached, cache_write, output, reasoning } in tokens (input holds cached and cache_write, output holds
-- reasoning), nano_usd when the price is known.
local ml = require "moonloop"
local core = require "moonloop.core"
local events = require "moonloop.events"
local models = require "moonloop.model"
local prices = require "moonloop.llm.prices"
local M, llm = {}, {}
M.llm = llm

local FILE_MAX = 20 << 20 -- of one file by path

-- Providers by the word before the colon: who speaks, where, and which variable has the key. The addresses are those of the
-- providers' own API documentation.
local providers = {
  openai = { api = "moonloop.llm.openai", url = "https://api.openai.com/v1", env = "OPENAI" },
  responses = { api = "moonloop.llm.responses", url = "https://api.openai.com/v1", env = "OPENAI" },
  anthropic = { api = "moonloop.llm.anthropic", url = "https://api.anthropic.com", env = "ANTHROPIC" },
  openrouter = { api = "moonloop.llm.openai", url = "https://openrouter.ai/api/v1", env = "OPENROUTER" },
  mistral = { api = "moonloop.llm.openai", url = "https://api.mistral.ai/v1", env = "MISTRAL" },
  groq = { api = "moonloop.llm.openai", url = "https://api.groq.com/openai/v1", env = "GROQ" },
  deepseek = { api = "moonloop.llm.openai", url = "https://api.deepseek.com/v1", env = "DEEPSEEK" },
  ollama = { api = "moonloop.llm.openai", url = "http://127.0.0.1:11434/v1", env = "OLLAMA", keyless = true },
}

local function fail(kind, message, retryable, more)
  more = more or {}
  ml.fail(message, { type = kind, retryable = retryable, details = more.details, retry_after = more.retry_after, cause = more.cause })
end

-- ---- which model ----
local function known()
  local list = {}
  for name in pairs(providers) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, ", ")
end

--- The model as providers need it: { provider, model, api, base_url, auth, ... }.
function M.resolve(spec, fname)
  local m = models.model(spec)
  local text = tostring(m.name)
  local word, rest = text:match("^([%w_-]+):(.+)$")
  local p = word and providers[word]
  if not p and m.base_url and not word then word, rest, p = "openai", text, providers.openai end
  if not p then
    fail("UnknownModel", ("%s: \"%s\" is no model: write \"provider:name\" with one of %s, or give ml.model a base_url"):format(fname, text, known()), false)
  end
  local r = {}
  for k, v in pairs(m) do r[k] = v end
  r.provider, r.model = word, rest
  r.api = require(m.api and "moonloop.llm." .. (m.api == "chat" and "openai" or m.api) or p.api)
  local url = m.base_url or ml.env(p.env .. "_BASE_URL", p.url)
  r.base_url = tostring(url):gsub("/+$", "")
  r.at_home = r.base_url == p.url
  r.key = m.api_key or ml.secret(p.env .. "_API_KEY")
  if type(r.key) == "string" then
    fail("BadRequest", "ml.model: api_key is ml.secret \"NAME\": a key that stands in a script would be in every history", false)
  end
  if not m.api_key and (p.keyless or not r.at_home) and not r.key:exists() then r.key = nil end -- one's own server may want none
  return r
end

-- ---- the request ----
local media_types = {
  png = "image/png", jpg = "image/jpeg", jpeg = "image/jpeg", gif = "image/gif", webp = "image/webp", pdf = "application/pdf",
  txt = "text/plain", md = "text/markdown", csv = "text/csv", json = "application/json", html = "text/html",
}

-- A part with its bytes at hand: what is named by path is read here, so that histories hold the reference only.
local function load_part(part)
  if not part.path then return part end
  local path = tostring(part.path)
  local stat = ml.fs.stat(path)
  if not stat then fail("NotFound", ("the file %s of a message is not there"):format(path), false) end
  if stat.size > FILE_MAX then fail("TooLarge", ("the file %s of a message has %d bytes; %d are allowed"):format(path, stat.size, FILE_MAX), false) end
  return {
    type = part.type, cache = part.cache, data = ml.crypto.base64_encode(ml.fs.read(path)), name = part.name or path:match("[^/]+$"),
    media_type = part.media_type or media_types[(path:match("%.(%w+)$") or ""):lower()] or "application/octet-stream",
  }
end

local roles = { system = true, user = true, assistant = true, tool = true }

local function bad_message(i, what)
  fail("BadRequest", ("message %d: %s"):format(i, what), false)
end

--- The messages, checked, contents always lists of parts: { { role, parts, tool_calls, tool_call_id, reasoning, cache } }.
local function normal(messages, instructions)
  local out = {}
  if type(messages) == "string" then messages = { { role = "user", content = messages } } end
  if type(messages) ~= "table" then fail("BadRequest", "messages: a text, or a list of { role, content }", false) end
  if instructions and instructions ~= "" then out[1] = { role = "system", parts = { { type = "text", text = instructions } } } end
  for i, m in ipairs(messages) do
    if type(m) ~= "table" or not roles[m.role] then bad_message(i, "its role is \"system\", \"user\", \"assistant\" or \"tool\"") end
    local parts = {}
    local content = m.content
    if content == ml.null then content = nil end
    if type(content) == "string" then content = content ~= "" and { { type = "text", text = content } } or {} end
    if content ~= nil and type(content) ~= "table" then bad_message(i, "its content is a text or a list of parts") end
    for _, part in ipairs(content or {}) do
      if type(part) == "string" then part = { type = "text", text = part } end
      if type(part) ~= "table" or not part.type then bad_message(i, "a part is { type = \"text\", text } or { type = \"image\", url }") end
      parts[#parts + 1] = load_part(part)
    end
    if m.role == "tool" and type(m.tool_call_id) ~= "string" then bad_message(i, "the result of a tool needs its tool_call_id") end
    out[#out + 1] = {
      role = m.role, parts = parts, tool_calls = m.tool_calls, tool_call_id = m.tool_call_id, reasoning = m.reasoning, cache = m.cache,
      is_error = m.is_error,
    }
  end
  if #out == 0 or (#out == 1 and out[1].role == "system") then fail("BadRequest", "there are no messages to answer", false) end
  return out
end

-- ---- what goes wrong ----
local function lower(s) return type(s) == "string" and s:lower() or "" end

local context_words = {
  "context_length", "maximum context length", "prompt is too long", "context window", "too many tokens", "input length and `max_tokens`",
}
local refused_words = { "content_policy", "content_filter", "content management policy", "content filtering policy", "safety system" }

local function says(text, words)
  for _, w in ipairs(words) do
    if text:find(w, 1, true) then return true end
  end
  return false
end

--- Type and retryable of an error by its status (nil inside a stream), the provider's word for it, and its text.
function M.classify(status, word, text)
  local all = lower(word) .. " " .. lower(text)
  if says(all, context_words) then return "ContextTooLong", false end
  if says(all, refused_words) then return "Refused", false end
  if all:find("insufficient_quota", 1, true) or all:find("credit balance is too low", 1, true) or status == 402 then return "OutOfCredit", false end
  if status == 429 or all:find("rate_limit", 1, true) then return "RateLimited", true end
  if status == 529 or status == 503 or all:find("overloaded", 1, true) then return "Overloaded", true end
  if status == 401 or status == 403 or all:find("authentication_error", 1, true) or all:find("permission_error", 1, true) then return "AuthError", false end
  if status == 404 or all:find("not_found_error", 1, true) or all:find("model_not_found", 1, true) then return "UnknownModel", false end
  if status == 408 or status == 409 or status == 425 then return "ServerError", true end
  if status == 413 then return "ContextTooLong", false end
  if status and status >= 400 and status < 500 or all:find("invalid_request", 1, true) then return "BadRequest", false end
  return "ServerError", true
end

local function text_of(v) return type(v) == "string" and v or nil end

--- Raises what a provider's error object says: { error = { type, code, message } } or { type = "error", error = {...} }.
function M.raise(r, status, body, retry_after)
  local e = type(body) == "table" and body.error
  if type(e) == "string" then e = { message = e } end
  if type(e) ~= "table" then e = type(body) == "table" and body or {} end
  local code = text_of(e.code) or (e.code ~= nil and e.code ~= ml.null and tostring(e.code)) or ""
  local message = text_of(e.message) or "no reason given"
  local kind, retryable = M.classify(status, (text_of(e.type) or "") .. " " .. code, message)
  fail(kind, ("%s:%s%s: %s"):format(r.provider, r.model, status and " answered " .. math.tointeger(status) or "", message:sub(1, 500)), retryable,
    { details = { status = status, code = code ~= "" and code or nil, type = text_of(e.type) }, retry_after = retry_after })
end

local function decode(text)
  local ok, v = pcall(ml.json.decode, text)
  return ok and v or nil
end

local function wait_of(res)
  local ms = tonumber(res.headers["retry-after-ms"] or "")
  if ms and ms > 0 then return ms / 1000 end
  local _, e = pcall(res.ok, res) -- which reads Retry-After, number or date
  return type(e) ~= "string" and e.retry_after or nil
end

local function check_status(r, res)
  if res.status < 400 then return end
  local text = res.body
  if not text then
    local pieces, n = {}, 0
    pcall(function()
      for piece in res:chunks() do
        pieces[#pieces + 1], n = piece, n + #piece
        if n > 65536 then break end
      end
    end)
    text = table.concat(pieces)
  end
  local after = wait_of(res)
  if res.stream then res:close() end
  M.raise(r, res.status, decode(text) or { message = #text > 0 and text or nil }, after)
end

-- Failures of the transport keep their types; a stream that breaks is told as such.
local function send(r, call, body, on_event)
  local headers = {}
  for k, v in pairs(call.headers or {}) do headers[k] = v end
  for k, v in pairs(r.headers or {}) do headers[k] = v end
  local res = ml.http.post(r.base_url .. call.path, {
    json = body, headers = headers, auth = call.auth, timeout = r.timeout or "10m", sse = on_event and true or nil, connect_timeout = "15s",
    guard = false, -- the address is the script's own
  })
  check_status(r, res)
  if not on_event then
    local v = decode(res.body)
    if type(v) ~= "table" then fail("BadResponse", ("%s:%s did not answer JSON: %s"):format(r.provider, r.model, res.body:sub(1, 100)), true) end
    return v
  end
  local kind = res.headers["content-type"] or ""
  if not kind:find("event-stream", 1, true) then -- a server that does not stream: the answer as a whole
    local pieces = {}
    for piece in res:chunks() do pieces[#pieces + 1] = piece end
    local v = decode(table.concat(pieces))
    if type(v) ~= "table" then fail("BadResponse", ("%s:%s answered neither events nor JSON"):format(r.provider, r.model), true) end
    return v
  end
  local complete, next_event = false, res:events()
  while true do
    local ok, event = pcall(next_event)
    if not ok then
      res:close()
      if complete then break end -- all of the answer was there
      if type(event) == "string" or event.type == "Canceled" or event.type == "Timeout" then error(event, 0) end
      fail("StreamCut", ("%s:%s broke off in the middle of its answer"):format(r.provider, r.model), true, { cause = event })
    end
    if event == nil or event.data == "[DONE]" then
      complete = complete or event ~= nil
      break
    end
    local v = decode(event.data)
    if type(v) == "table" then
      if v.error and v.error ~= ml.null then M.raise(r, nil, v) end
      if on_event(v, event.event) then complete = true end
    elseif event.data ~= "" then
      fail("BadResponse", ("%s:%s sent an event that is not JSON: %s"):format(r.provider, r.model, event.data:sub(1, 100)), true)
    end
  end
  res:close()
  if not complete then fail("StreamCut", ("%s:%s ended its answer in the middle"):format(r.provider, r.model), true) end
end

-- ---- the answer ----
local function cost(r, usage)
  local p = r.price or prices.find(r.model)
  if not p then return nil end
  if p.long and usage.input > p.long.over then p = p.long end
  local cached, written = usage.cached or 0, usage.cache_write or 0
  local fresh = usage.input - cached - written
  if fresh < 0 then fresh = 0 end
  -- USD for a million tokens is 1,000 nano-USD for one
  local nano = fresh * p.input + cached * (p.cached or p.input) + written * (p.cache_write or p.input) + usage.output * p.output
  return math.tointeger(nano * 1000 // 1)
end

--- A tool call from its name, id and the JSON text of its arguments.
function M.tool_call(id, name, text)
  if text == nil or text == "" then text = "{}" end
  local ok, v = pcall(ml.json.decode, text)
  if ok and type(v) == "table" then return { id = id, name = name, arguments = v } end
  return { id = id, name = name, raw = text, error = ok and "the arguments are no JSON object" or tostring(v) }
end

local function count(v) return type(v) == "number" and math.tointeger(v // 1) or 0 end
M.count = count

--- JSON's null as nil.
function M.some(v)
  if v == ml.null then return nil end
  return v
end

local function finish(r, a)
  a.provider, a.model = r.provider, a.model or r.model
  a.tool_calls = ml.list(a.tool_calls or {})
  a.text = a.text or ""
  if a.refused then
    fail("Refused", ("%s:%s refused: %s"):format(r.provider, r.model, a.refused ~= "" and a.refused or "no reason given"), false)
  end
  a.message = { role = "assistant", content = a.text, tool_calls = #a.tool_calls > 0 and a.tool_calls or nil, reasoning = a.reasoning }
  a.reasoning = nil
  local usage = a.usage or { input = 0, output = 0 }
  usage.nano_usd = cost(r, usage)
  a.usage = usage
  a.stop = #a.tool_calls > 0 and "tools" or a.stop or "end"
  if a.text == "" and #a.tool_calls == 0 then
    local why = a.stop == "length" and ": the limit of output tokens was reached before" or ""
    fail("EmptyAnswer", ("%s:%s answered nothing%s"):format(r.provider, r.model, why), a.stop ~= "length", { details = { usage = usage } })
  end
  return a
end

local function once(r, request, on_event)
  local call, body = r.api.request(r, request, on_event ~= nil)
  for k, v in pairs(request.extra or r.extra or {}) do body[k] = v end
  local whole
  if on_event then
    local reader = r.api.reader(r, M, on_event)
    whole = send(r, call, body, reader.event)
    if not whole then return finish(r, reader.finish()) end
    local a = finish(r, r.api.answer(r, M, whole))
    if a.text ~= "" then on_event { type = "text", text = a.text } end
    return a
  end
  return finish(r, r.api.answer(r, M, send(r, call, body)))
end

-- Waits as the provider asks, in the process: for callers that have nobody to retry them.
local function retrying(r, request, on_event)
  local tries = request.retries or 0
  local begun = false
  local function passed_on(event)
    begun = true
    on_event(event)
  end
  for attempt = 1, tries + 1 do
    local ok, a = pcall(once, r, request, on_event and passed_on)
    if ok then return a end
    local again = type(a) ~= "string" and a.retryable and attempt <= tries
    if not again then error(a, 0) end
    local wait = a.retry_after or 0.5 * 2 ^ (attempt - 1)
    if wait > 30 then error(a, 0) end
    if begun then on_event { type = "restarted" } end
    begun = false
    ml.sleep(wait)
  end
end

--- Asks a model and waits for its whole answer. request.on_event(event) gets the answer's pieces as they come.
function llm.chat(request)
  core.check_options(request, "llm", "ml.llm.chat")
  local r = M.resolve(request.model, "ml.llm.chat")
  local o = {}
  for k, v in pairs(request) do o[k] = v end
  if o.need_price and not (r.price or prices.find(r.model)) then
    local text = "a limit in money needs the price of %s:%s: ml.model(name, { price = { input = ..., output = ... } })"
    fail("UnknownPrice", text:format(r.provider, r.model), false)
  end
  o.messages = normal(request.messages, request.instructions)
  for _, key in ipairs { "max_tokens", "temperature", "top_p", "reasoning", "cache", "stop" } do
    if o[key] == nil then o[key] = r[key] end
  end
  return retrying(r, o, request.on_event)
end

--- The pieces of an answer as they come: `for event in ml.llm.stream{...}`. The last one is { type = "done", answer }.
function llm.stream(request)
  core.check_options(request, "llm", "ml.llm.stream")
  local o = {}
  for k, v in pairs(request) do o[k] = v end
  return events.new(function(emit)
    o.on_event = emit
    emit { type = "done", answer = llm.chat(o) }
  end)
end

--- The price of a model by its name, USD for a million tokens: { input, cached, cache_write, output }, or nil.
function llm.price(name)
  return prices.find((tostring(name):gsub("^[%w_-]+:", "")))
end

return M
