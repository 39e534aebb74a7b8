-- run-side
-- The steps of an agent's loop (moonloop.agent): limits, model calls, tool calls, output, compaction. The state `s` of
-- a loop is plain data and the two ways to act: live (in the process, while a caller waits) and durable (in a run).
local core = require "moonloop.core"
local define = require "moonloop.agent_define"
local fit = require "moonloop.fit"
local ml = require "moonloop"
local M = {}

local BAD_TURNS = 4               -- turns in a row in which no tool call could be made
local REPAIRS = 2                 -- of an output that breaks its schema
local RESULT_MAX = 100000         -- bytes of one tool's result that a model is given
local KEEP = 6                    -- messages that a compaction leaves as they are

-- A tool without a policy of its own: its failure is something the model can be told, so it is not tried for ever.
local tool_retry = { max_attempts = 5, initial = "1s", backoff = 2, max = "1m" }

local function fail(kind, message, details) ml.fail(message, { type = kind, retryable = false, details = details }) end

-- ---- the state of one loop ----

function M.begin(self, input, options, way, emit)
  options = options or {}
  core.check_options(options, "agent_run", "agent:run")
  local messages = ml.list {}
  if type(input) == "string" then
    messages[1] = { role = "user", content = input }
  elseif type(input) == "table" then
    for i, m in ipairs(input) do messages[i] = m end
    if #messages == 0 and input.input then messages[1] = { role = "user", content = input.input } end
  end
  if #messages == 0 then error(self.name .. ":run takes a text, or a list of messages { role, content }", 4) end
  local limits = {}
  for k, v in pairs(self.limits) do limits[k] = v end
  if options.limits then
    for k, v in pairs(define.limits_of(options.limits, self.name)) do limits[k] = v end
  end
  return {
    first = self, agent = self, context = options.context, messages = messages, limits = limits, way = way, emit = emit,
    turns = 0, tool_calls = 0, repairs = 0, bad_turns = 0, began = ml.now(), paused = 0,
    usage = { input = 0, cached = 0, output = 0, nano_usd = 0 },
  }
end

function M.summary(s)
  return { usage = s.usage, turns = s.turns, tool_calls = s.tool_calls, messages = s.messages, agent = s.agent.name }
end

local function emit(s, event)
  if s.emit then s.emit(event) end
end

local function hook(s, name, ...)
  local fn = s.agent.hooks[name]
  if fn then return fn(...) end
end

-- ---- limits ----

local function used_of(s, kind)
  if kind == "tokens" then return s.usage.input + s.usage.output end
  if kind == "nano_usd" then return s.usage.nano_usd end
  if kind == "seconds" then return ml.time.diff(ml.now(), s.began) - s.paused end
  return s[kind]
end

local kinds = { "turns", "tool_calls", "tokens", "nano_usd", "seconds" }
local words = { turns = "turns", tool_calls = "tool calls", tokens = "tokens", nano_usd = "nano-USD", seconds = "seconds" }
local counted = { turns = true, tool_calls = true } -- known before; of the others it is known afterwards what a call took

local function room(s, kind, what, n)
  local max = s.limits[kind]
  if not max then return true end
  if counted[kind] then return kind ~= what or used_of(s, kind) + n <= max end
  return used_of(s, kind) < max
end

--- Before n more turns or tool calls. Live a limit that is reached is a failure; in a run it waits for a person, who raises it or
--- ends the agent.
function M.check_limits(s, what, n)
  for _, kind in ipairs(kinds) do
    while not room(s, kind, what, n) do
      local max = s.limits[kind]
      local text = ("agent %s has reached its limit of %s %s"):format(s.first.name, math.tointeger(max) or max, words[kind])
      s.limits[kind] = s.way.over(s, kind, max, text)
    end
  end
end

-- ---- MCP servers ----

-- The tools of the agent and those that its MCP servers have now: asked for once in a loop, in a run as a recorded step.
local function kit(s)
  local self = s.agent
  if not self.sources then return self end
  s.kits = s.kits or {}
  local k = s.kits[self.name]
  if k then return k end
  k = { by_name = {}, schemas = ml.list {} }
  for name, entry in pairs(self.by_name) do k.by_name[name] = entry end
  for i, schema in ipairs(self.schemas) do k.schemas[i] = schema end
  for _, source in ipairs(self.sources) do
    for _, t in ipairs(source:list()) do
      if k.by_name[t.name] then
        fail("ToolClash", ("agent %s: two tools are named %s; ml.mcp's option tools says which ones are taken"):format(self.name, t.name))
      end
      local ok, schema = pcall(ml.json_schema, t.input, { lenient = true })
      k.by_name[t.name] = { mcp = source, name = t.name, input = ok and schema or nil }
      k.schemas[#k.schemas + 1] = t
    end
  end
  s.kits[self.name] = k
  return k
end

-- ---- the model ----

local function request_of(s)
  local self = s.agent
  local instructions = self.instructions
  if type(instructions) == "function" then instructions = instructions(s) end
  return {
    agent = self.name, instructions = instructions, tools = #kit(s).schemas > 0 and kit(s).schemas or nil, output = self.output,
    options = {
      max_tokens = self.max_tokens, temperature = self.temperature, reasoning = self.reasoning, cache = self.cache,
      stream = s.way.streams and self.stream ~= false or nil, need_price = s.limits.nano_usd and true or nil, retries = s.way.retries,
    },
  }
end

local function add_usage(s, u)
  local total = s.usage
  for _, k in ipairs { "input", "cached", "output", "nano_usd" } do total[k] = total[k] + (u[k] or 0) end
  s.last_input = u.input
end

--- One model call. Its message is added to the conversation.
function M.ask(s)
  local request = request_of(s)
  local changed = hook(s, "before_model", request, s.messages, s)
  local answer = s.way.model(s, request, changed or s.messages)
  s.turns = s.turns + 1
  add_usage(s, answer.usage)
  answer.tool_calls = answer.message.tool_calls or {}
  hook(s, "after_model", answer, s)
  s.messages[#s.messages + 1] = answer.message
  return answer
end

-- ---- tools ----

local function names_of(self)
  local list = {}
  for _, t in ipairs(self.schemas) do list[#list + 1] = t.name end
  return #list > 0 and table.concat(list, ", ") or "none"
end

local function cut(text)
  if #text <= RESULT_MAX then return text end
  local part = text:sub(1, RESULT_MAX)
  while #part > 0 and (part:byte(-1) >= 128) do part = part:sub(1, -2) end -- not in the middle of a character
  return ("%s\n[cut here: %d of %d bytes]"):format(part, #part, #text)
end

-- A tool's answer as the model reads it.
local function text_of(value)
  if value == nil then return "done" end
  if type(value) == "string" then return cut(value) end
  return cut(ml.json.encode(value))
end

local function told(kind, message) return ml.json.encode { error = { type = kind, message = message } } end

-- Why a call cannot be made, as the model is told; nil when it can.
local function unusable(s, call)
  local entry = kit(s).by_name[call.name or ""]
  if not entry then return told("UnknownTool", ("there is no tool \"%s\"; there are: %s"):format(call.name, names_of(kit(s)))) end
  if call.error then
    return told("BrokenArguments", ("the arguments of %s are not JSON: %s. Call it again with a JSON object"):format(call.name, call.error))
  end
  local errors = entry.input and fit.errors(entry.input, call.arguments)
  if errors then return told("InvalidArguments", errors) end
end

-- The failure that a tool's activity ended with.
local function cause_of(e)
  if e.kind == "activity" or e.kind == "child" then return e.cause or e end
  return e
end

-- One call: the text of its result, whether that is an error.
local function call_one(s, call)
  local refused = unusable(s, call)
  if refused then return refused, true, true end
  local changed, why = hook(s, "before_tool", call, s)
  if changed == false then return told("NotAllowed", why or "this call is not allowed"), true end
  local args = type(changed) == "table" and changed or call.arguments
  local entry = kit(s).by_name[call.name]
  local ok, value = pcall(s.way.tool, s, entry, args, call)
  if not ok then
    if type(value) == "string" then error(value, 0) end -- a bug in the script, not an answer for the model
    if value.kind == "canceled" or s.agent.on_tool_error == "fail" then error(value, 0) end
    local cause = cause_of(value)
    return told(cause.type, cause.message), true
  end
  local replaced = hook(s, "after_tool", call, value, s)
  if replaced ~= nil then value = replaced end
  return text_of(value), false
end

--- All calls of one answer, in parallel. Their results are added in the model's order.
function M.call_tools(s, calls)
  M.check_limits(s, "tool_calls", #calls)
  local jobs, results, bad = {}, {}, 0
  for i, call in ipairs(calls) do
    emit(s, { type = "tool_call", id = call.id, name = call.name, arguments = call.arguments })
    jobs[i] = function() results[i] = { call_one(s, call) } end
  end
  if #jobs == 1 then jobs[1]() else ml.all(jobs) end
  for i, call in ipairs(calls) do
    local text, is_error, unusable_call = results[i][1], results[i][2], results[i][3]
    bad = bad + (unusable_call and 1 or 0)
    s.messages[#s.messages + 1] = { role = "tool", tool_call_id = call.id, name = call.name, content = text, is_error = is_error or nil }
    emit(s, { type = "tool_result", id = call.id, name = call.name, content = text, is_error = is_error })
  end
  s.tool_calls = s.tool_calls + #calls
  s.bad_turns = bad == #calls and s.bad_turns + 1 or 0
  if s.bad_turns >= BAD_TURNS then
    local text = "agent %s: the model made %d turns of tool calls that cannot be made; the last: %s"
    fail("BadToolCalls", text:format(s.agent.name, s.bad_turns, results[#calls][1]))
  end
  for _, call in ipairs(calls) do -- the last hand-off of an answer counts
    local entry = kit(s).by_name[call.name or ""]
    if entry and entry.handoff and not call.error then s.next_agent = entry.handoff end
  end
  if s.next_agent then
    s.agent, s.next_agent, s.bad_turns = s.next_agent, nil, 0
    emit(s, { type = "agent", name = s.agent.name })
  end
end

-- ---- output ----

-- The JSON value in a text: the whole of it, what stands in a code fence, or the outermost braces.
local function value_in(text)
  for _, part in ipairs { text, text:match("```%w*%s*(.-)%s*```") or false, text:match("%b{}") or false, text:match("%b[]") or false } do
    if part then
      local ok, v = pcall(ml.json.decode, part)
      if ok then return true, v end
    end
  end
  return false, "it is no JSON"
end

--- true and the agent's value; or false, after the model was asked again.
function M.finish(s, answer)
  local text = answer.message.content
  if not s.agent.output then return true, text end
  local ok, value = value_in(text)
  local errors = not ok and value or fit.errors(s.agent.output, value)
  if not errors then return true, value end
  if s.repairs >= (s.agent.repairs or REPAIRS) then
    fail("BadOutput", ("agent %s: the model's output breaks its schema: %s"):format(s.agent.name, errors), { output = cut(text), errors = errors })
  end
  s.repairs = s.repairs + 1
  local again = "Your answer does not match the schema: %s. Answer again, with the whole JSON value and nothing else."
  s.messages[#s.messages + 1] = { role = "user", content = again:format(errors) }
  emit(s, { type = "repair", errors = errors })
  return false
end

-- ---- compaction ----

local SUMMARY = "Summarise the conversation below for the one who goes on with it: the goal, what was found and decided, what was done " ..
  "with which result, what is open. Facts, ids and numbers as they are. No preamble."

local function as_text(messages, last)
  local out = {}
  for i = 1, last do
    local m = messages[i]
    local content = m.content
    if type(content) == "table" then
      local texts = {}
      for _, p in ipairs(content) do texts[#texts + 1] = type(p) == "string" and p or p.text or "[" .. tostring(p.type) .. "]" end
      content = table.concat(texts, "\n")
    end
    out[#out + 1] = ("%s: %s"):format(m.name or m.role, content or "")
    for _, c in ipairs(m.tool_calls or {}) do out[#out + 1] = ("%s calls %s: %s"):format(m.role, c.name, c.raw or ml.json.encode(c.arguments)) end
  end
  return table.concat(out, "\n")
end

--- Where the conversation has grown over `compact.after` tokens, its older part becomes a summary that the model writes: a model
--- call like the others, so in a run it is recorded.
function M.compact(s)
  local c = s.agent.compact
  if not c or not s.last_input or s.last_input < c.after then return end
  local last = #s.messages - (c.keep or KEEP)
  while last > 0 and s.messages[last + 1].role == "tool" do last = last - 1 end -- results stay with their calls
  if last < 2 then return end
  local request = {
    agent = s.agent.name, instructions = c.instructions or SUMMARY,
    options = { max_tokens = c.max_tokens, need_price = s.limits.nano_usd and true or nil, retries = s.way.retries },
  }
  local answer = s.way.model(s, request, ml.list { { role = "user", content = as_text(s.messages, last) } }, true)
  add_usage(s, answer.usage)
  s.last_input = nil
  local messages = ml.list { { role = "user", content = "What came before, in short:\n" .. answer.message.content } }
  for i = last + 1, #s.messages do messages[#messages + 1] = s.messages[i] end
  s.messages = messages
  emit(s, { type = "compacted", messages = last })
end

-- ---- the two ways ----

M.live = { retries = 2 }

function M.live.over(_, kind, max, text) fail("LimitReached", text, { limit = kind, max = max }) end

function M.live.model(s, request, messages, quiet)
  return define.model(request, messages, s.emit and not quiet and s.emit or nil)
end

function M.live.tool(s, entry, args)
  if entry.handoff then return "The conversation is handed over." end
  if entry.mcp then return entry.mcp:call(entry.name, args) end
  if entry.agent then return (entry.agent:run(args.input or ml.json.encode(args), { context = s.context })) end
  return entry.tool(args, s.context)
end

M.durable = { streams = true }

function M.durable.over(s, kind, max, text)
  local approve = require "moonloop.approve"
  local before = ml.now()
  local d = approve.ask {
    kind = "limit", name = s.first.name .. "." .. kind, text = text, args = { limit = kind, max = max, used = used_of(s, kind) }, default = "reject",
  }
  s.paused = s.paused + ml.time.diff(ml.now(), before)
  if not d.approved then fail("LimitReached", text .. (d.reason and ": " .. d.reason or ""), { limit = kind, max = max }) end
  local raised = d.args.max
  if type(raised) ~= "number" or raised <= max then raised = max + s.first.limits[kind] end -- as much again
  return raised
end

function M.durable.model(s, request, messages)
  local activity = define.model_activity
  if s.agent.retry or s.agent.timeout then activity = activity:with { retry = s.agent.retry, timeout = s.agent.timeout } end
  return activity(request, messages)
end

function M.durable.tool(_, entry, args)
  if entry.handoff then return "The conversation is handed over." end
  if entry.mcp then return entry.mcp:call(entry.name, args) end
  if entry.agent then return ml.child("moonloop.agent." .. entry.agent.name)(args.input or ml.json.encode(args)) end
  local tool = entry.tool
  local activity = tool.retry and tool.activity or tool.activity:with { retry = tool_retry }
  if not tool.approval then return activity(args) end
  local approve = require "moonloop.approve"
  local allowed, decision = approve.gate(tool, args)
  local value = activity(allowed)
  if decision and decision.edited then return { result = value, note = "a person changed the arguments", arguments = allowed } end
  return value
end

return M
