-- Anthropic's Messages (platform.claude.com/docs/en/api/messages).
local ml = require "moonloop"
local M = {}

local MAX_TOKENS = 4096 -- the API wants a number; every model takes this one
local marker = { type = "ephemeral" }

local function source_of(part)
  if part.file then return { type = "file", file_id = part.file } end
  if part.url then return { type = "url", url = part.url } end
  return { type = "base64", media_type = part.media_type or "application/octet-stream", data = part.data }
end

local function part_of(part)
  local out
  if part.type == "text" then
    out = { type = "text", text = part.text }
  elseif part.type == "image" then
    out = { type = "image", source = source_of(part) }
  else
    out = { type = "document", source = source_of(part), title = part.name }
  end
  if part.cache then out.cache_control = marker end
  return out
end

local function blocks_of(m)
  local out = ml.list {}
  if m.role == "tool" then
    local content = ml.list {}
    for i, p in ipairs(m.parts) do content[i] = part_of(p) end
    out[1] = { type = "tool_result", tool_use_id = m.tool_call_id, content = content, is_error = m.is_error or nil }
  else
    for _, t in ipairs(m.reasoning or {}) do
      if t.redacted then
        out[#out + 1] = { type = "redacted_thinking", data = t.redacted }
      elseif t.signature then
        out[#out + 1] = { type = "thinking", thinking = t.text or "", signature = t.signature }
      end
    end
    for _, p in ipairs(m.parts) do out[#out + 1] = part_of(p) end
    for _, c in ipairs(m.tool_calls or {}) do
      out[#out + 1] = { type = "tool_use", id = c.id, name = c.name, input = c.arguments or {} }
    end
  end
  if m.cache and #out > 0 then out[#out].cache_control = marker end
  return out
end

-- Turns alternate: what follows with the same role is one message.
local function messages_of(list)
  local out, system = ml.list {}, ml.list {}
  for _, m in ipairs(list) do
    local role = m.role == "tool" and "user" or m.role
    local blocks = blocks_of(m)
    if role == "system" then
      for _, b in ipairs(blocks) do system[#system + 1] = b end
    elseif #blocks > 0 then
      local last = out[#out]
      if not last or last.role ~= role then
        last = { role = role, content = ml.list {} }
        out[#out + 1] = last
      end
      for _, b in ipairs(blocks) do last.content[#last.content + 1] = b end
    end
  end
  return out, system
end

-- The schema of the answer is said in words: every model takes that.
local function output_words(schema)
  return "Answer with one JSON value and nothing else: no code fence, no words around it. It must match this JSON Schema: " .. ml.json.encode(schema)
end

local function has_file(o)
  for _, m in ipairs(o.messages) do
    for _, p in ipairs(m.parts) do
      if p.file then return true end
    end
  end
  return false
end

function M.request(r, o, streaming)
  local messages, system = messages_of(o.messages)
  if o.output then system[#system + 1] = { type = "text", text = output_words(o.output) } end
  local body = {
    model = r.model, messages = messages, max_tokens = o.max_tokens or MAX_TOKENS, temperature = o.temperature, top_p = o.top_p,
    stop_sequences = o.stop and ml.list(o.stop), stream = streaming or nil,
  }
  if #system > 0 then body.system = system end
  if type(o.reasoning) == "number" then
    body.thinking = { type = "enabled", budget_tokens = o.reasoning }
    if body.max_tokens <= o.reasoning then body.max_tokens = math.tointeger(o.reasoning + MAX_TOKENS) end
  elseif type(o.reasoning) == "string" then
    body.thinking = { type = "adaptive" }
    body.output_config = { effort = o.reasoning }
  end
  if o.tools and #o.tools > 0 then
    body.tools = ml.list {}
    for i, t in ipairs(o.tools) do body.tools[i] = { name = t.name, description = t.description, input_schema = t.input } end
    local choice = o.tool_choice
    if choice == "required" then
      body.tool_choice = { type = "any" }
    elseif choice == "none" or choice == "auto" then
      body.tool_choice = { type = choice }
    elseif choice then
      body.tool_choice = { type = "tool", name = choice }
    end
  end
  if o.cache then -- what stays the same from call to call: tools and instructions, and the conversation so far
    if #system > 0 then
      system[#system].cache_control = marker
    elseif body.tools then
      body.tools[#body.tools].cache_control = marker
    end
    local last = messages[#messages].content
    last[#last].cache_control = marker
  end
  local headers = { ["anthropic-version"] = "2023-06-01" }
  if has_file(o) then headers["anthropic-beta"] = "files-api-2025-04-14" end
  return { path = "/v1/messages", headers = headers, auth = r.key and { header = "x-api-key", value = r.key } }, body
end

local stops = {
  end_turn = "end", stop_sequence = "end", pause_turn = "end", tool_use = "tools", max_tokens = "length", model_context_window_exceeded = "length",
}

-- Anthropic counts what came from the cache beside its input.
local function usage_of(L, u)
  local cached, written = L.count(L.some(u.cache_read_input_tokens)), L.count(L.some(u.cache_creation_input_tokens))
  return { input = L.count(L.some(u.input_tokens)) + cached + written, cached = cached, cache_write = written, output = L.count(L.some(u.output_tokens)) }
end

local function from_blocks(L, v, blocks)
  local texts, thoughts, calls = {}, ml.list {}, {}
  for _, b in ipairs(blocks) do
    if b.type == "text" then
      texts[#texts + 1] = b.text
    elseif b.type == "tool_use" then
      calls[#calls + 1] = b.raw and L.tool_call(b.id, b.name, b.raw) or { id = b.id, name = b.name, arguments = b.input }
    elseif b.type == "thinking" then
      thoughts[#thoughts + 1] = { text = b.thinking, signature = L.some(b.signature) }
    elseif b.type == "redacted_thinking" then
      thoughts[#thoughts + 1] = { redacted = b.data }
    end
  end
  local why = L.some(v.stop_reason)
  return {
    id = L.some(v.id), model = L.some(v.model), text = table.concat(texts), tool_calls = calls, usage = usage_of(L, L.some(v.usage) or {}),
    stop = stops[why or "end_turn"] or "end", refused = why == "refusal" and "stopped for its safety" or nil, reasoning = #thoughts > 0 and thoughts or nil,
  }
end

function M.answer(r, L, v)
  if type(v.content) ~= "table" then
    ml.fail(("%s:%s answered without content"):format(r.provider, r.model), { type = "BadResponse", retryable = true })
  end
  return from_blocks(L, v, v.content)
end

function M.reader(_, L, emit)
  local whole, blocks, at = { usage = {} }, {}, {}
  local function use(u)
    for k, n in pairs(L.some(u) or {}) do
      if type(n) == "number" then whole.usage[k] = n end
    end
  end
  local function delta(b, d)
    if d.type == "text_delta" then
      b.pieces[#b.pieces + 1] = d.text
      emit { type = "text", text = d.text }
    elseif d.type == "thinking_delta" then
      b.pieces[#b.pieces + 1] = d.thinking
      emit { type = "reasoning", text = d.thinking }
    elseif d.type == "input_json_delta" then
      b.pieces[#b.pieces + 1] = d.partial_json
    elseif d.type == "signature_delta" then
      b.signature = d.signature
    end
  end
  local function close(b)
    local text = table.concat(b.pieces)
    if b.type == "text" then b.text = b.text .. text end
    if b.type == "thinking" then b.thinking = (b.thinking or "") .. text end
    if b.type == "tool_use" then
      if text ~= "" then
        b.raw = text
      elseif b.input and next(b.input) then
        b.raw = ml.json.encode(b.input)
      else
        b.raw = "{}"
      end
    end
  end
  local function event(v, kind)
    kind = v.type or kind
    if kind == "message_start" then
      whole.id, whole.model = v.message.id, v.message.model
      use(v.message.usage)
    elseif kind == "content_block_start" then
      local b = v.content_block
      b.pieces = {}
      blocks[#blocks + 1] = b
      at[v.index] = b
      if b.type == "tool_use" then emit { type = "tool_call", index = v.index, id = b.id, name = b.name } end
    elseif kind == "content_block_delta" and at[v.index] then
      delta(at[v.index], v.delta)
    elseif kind == "message_delta" then
      whole.stop_reason = L.some(v.delta.stop_reason) or whole.stop_reason
      use(v.usage)
    elseif kind == "message_stop" then
      return true
    end
    return false
  end
  local function finish()
    for _, b in ipairs(blocks) do close(b) end
    return from_blocks(L, whole, blocks)
  end
  return { event = event, finish = finish }
end

return M
