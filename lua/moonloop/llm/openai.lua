-- OpenAI's Chat Completions (platform.openai.com/docs/api-reference/chat), and what calls itself compatible.
local ml = require "moonloop"
local M = {}

local function data_url(part) return ("data:%s;base64,%s"):format(part.media_type or "application/octet-stream", part.data) end

local function part_of(part)
  if part.type == "text" then return { type = "text", text = part.text } end
  if part.type == "image" then return { type = "image_url", image_url = { url = part.url or part.data and data_url(part) } } end
  local file = part.file and { file_id = part.file } or { filename = part.name or "file", file_data = part.data and data_url(part) or part.url }
  return { type = "file", file = file }
end

-- A text when all parts are texts: what every compatible server takes.
local function content_of(parts)
  local texts, list = {}, ml.list {}
  for _, p in ipairs(parts) do
    if p.type == "text" then texts[#texts + 1] = p.text end
    list[#list + 1] = part_of(p)
  end
  if #texts == #list then return table.concat(texts, "\n") end
  return list
end

local function message_of(m)
  local out = { role = m.role, content = content_of(m.parts) }
  if m.role == "tool" then out.tool_call_id = m.tool_call_id end
  if m.tool_calls and #m.tool_calls > 0 then
    local calls = ml.list {}
    for i, c in ipairs(m.tool_calls) do
      calls[i] = { id = c.id, type = "function", ["function"] = { name = c.name, arguments = c.raw or ml.json.encode(c.arguments) } }
    end
    out.tool_calls = calls
    if out.content == "" then out.content = ml.null end
  end
  return out
end

function M.request(r, o, streaming)
  local messages = ml.list {}
  for i, m in ipairs(o.messages) do messages[i] = message_of(m) end
  local body = { model = r.model, messages = messages, temperature = o.temperature, top_p = o.top_p, stop = o.stop and ml.list(o.stop) }
  body[r.at_home and "max_completion_tokens" or "max_tokens"] = o.max_tokens
  if type(o.reasoning) == "string" then body.reasoning_effort = o.reasoning end
  if o.tools and #o.tools > 0 then
    body.tools = ml.list {}
    for i, t in ipairs(o.tools) do
      body.tools[i] = { type = "function", ["function"] = { name = t.name, description = t.description, parameters = t.input } }
    end
    local choice = o.tool_choice
    if choice and choice ~= "auto" then
      body.tool_choice = (choice == "none" or choice == "required") and choice or { type = "function", ["function"] = { name = choice } }
    end
  end
  if o.output then
    body.response_format = { type = "json_schema", json_schema = { name = "output", schema = o.output } }
  end
  if streaming then
    body.stream = true
    body.stream_options = { include_usage = true }
  end
  return { path = "/chat/completions", auth = r.key }, body
end

local stops = { stop = "end", tool_calls = "tools", function_call = "tools", length = "length", content_filter = "refused" }

local function usage_of(L, u)
  if type(u) ~= "table" then return nil end
  local p, c = L.some(u.prompt_tokens_details) or {}, L.some(u.completion_tokens_details) or {}
  return { input = L.count(u.prompt_tokens), cached = L.count(p.cached_tokens), output = L.count(u.completion_tokens), reasoning = L.count(c.reasoning_tokens) }
end

local function reasoning_of(text) return text and text ~= "" and ml.list { { text = text } } or nil end

function M.answer(r, L, v)
  local choice = type(v.choices) == "table" and v.choices[1]
  local m = choice and L.some(choice.message)
  if type(m) ~= "table" then
    ml.fail(("%s:%s answered without a choice"):format(r.provider, r.model), { type = "BadResponse", retryable = true })
  end
  local calls = {}
  for i, c in ipairs(L.some(m.tool_calls) or {}) do
    local f = c["function"] or {}
    calls[i] = L.tool_call(L.some(c.id) or "call_" .. i, f.name, L.some(f.arguments))
  end
  local text = L.some(m.content)
  if type(text) == "table" then -- parts, as some servers answer
    local texts = {}
    for _, p in ipairs(text) do texts[#texts + 1] = p.text end
    text = table.concat(texts)
  end
  local stop = stops[L.some(choice.finish_reason) or "stop"] or "end"
  return {
    id = L.some(v.id), model = L.some(v.model), text = text, tool_calls = calls, stop = stop, usage = usage_of(L, v.usage),
    refused = L.some(m.refusal) or stop == "refused" and "its content filter stopped the answer" or nil,
    reasoning = reasoning_of(L.some(m.reasoning_content) or L.some(m.reasoning)),
  }
end

--- Puts the pieces of a streamed answer together.
function M.reader(_, L, emit)
  local a = { text = {}, calls = {}, reasoning = {}, order = {} }
  local refusal, stop = {}, nil
  local function tool_delta(d)
    local at = d.index or #a.order
    local c = a.calls[at]
    if not c then
      c = { args = {} }
      a.calls[at] = c
      a.order[#a.order + 1] = at
    end
    local f = L.some(d["function"]) or {}
    c.id = c.id or L.some(d.id)
    if L.some(f.name) and not c.name then
      c.name = f.name
      emit { type = "tool_call", index = #a.order, id = c.id, name = c.name }
    end
    if L.some(f.arguments) then c.args[#c.args + 1] = f.arguments end
  end
  local function event(v)
    a.id, a.model = a.id or L.some(v.id), a.model or L.some(v.model)
    a.usage = usage_of(L, L.some(v.usage)) or a.usage
    local choice = type(v.choices) == "table" and v.choices[1]
    if not choice then return false end
    local d = L.some(choice.delta) or {}
    local text, thought = L.some(d.content), L.some(d.reasoning_content) or L.some(d.reasoning)
    if text and text ~= "" then
      a.text[#a.text + 1] = text
      emit { type = "text", text = text }
    end
    if thought and thought ~= "" then
      a.reasoning[#a.reasoning + 1] = thought
      emit { type = "reasoning", text = thought }
    end
    if L.some(d.refusal) then refusal[#refusal + 1] = d.refusal end
    for _, call in ipairs(L.some(d.tool_calls) or {}) do tool_delta(call) end
    stop = L.some(choice.finish_reason) or stop
    return stop ~= nil
  end
  local function finish()
    local calls = {}
    table.sort(a.order)
    for i, at in ipairs(a.order) do
      local c = a.calls[at]
      calls[i] = L.tool_call(c.id or "call_" .. i, c.name, table.concat(c.args))
    end
    local why = stops[stop or "stop"] or "end"
    return {
      id = a.id, model = a.model, text = table.concat(a.text), tool_calls = calls, stop = why, usage = a.usage,
      refused = #refusal > 0 and table.concat(refusal) or why == "refused" and "its content filter stopped the answer" or nil,
      reasoning = reasoning_of(table.concat(a.reasoning)),
    }
  end
  return { event = event, finish = finish }
end

return M
