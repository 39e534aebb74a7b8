-- OpenAI's Responses (platform.openai.com/docs/api-reference/responses), without state on the server: every call sends all.
local ml = require "moonloop"
local M = {}

local function data_url(part) return ("data:%s;base64,%s"):format(part.media_type or "application/octet-stream", part.data) end

local function part_of(part, role)
  if part.type == "text" then return { type = role == "assistant" and "output_text" or "input_text", text = part.text } end
  if part.type == "image" then return { type = "input_image", image_url = part.url or part.data and data_url(part), file_id = part.file } end
  local data = part.data and data_url(part)
  return { type = "input_file", file_id = part.file, file_url = part.url, filename = data and (part.name or "file"), file_data = data }
end

local function text_of(parts)
  local texts = {}
  for _, p in ipairs(parts) do texts[#texts + 1] = p.text end
  return table.concat(texts, "\n")
end

local function add(items, m)
  if m.role == "tool" then
    items[#items + 1] = { type = "function_call_output", call_id = m.tool_call_id, output = text_of(m.parts) }
    return
  end
  for _, t in ipairs(m.reasoning or {}) do
    if t.encrypted then
      items[#items + 1] = { type = "reasoning", id = t.id, encrypted_content = t.encrypted,
        summary = ml.list(t.text and { { type = "summary_text", text = t.text } } or {}) }
    end
  end
  if #m.parts > 0 then
    local content = ml.list {}
    for i, p in ipairs(m.parts) do content[i] = part_of(p, m.role) end
    items[#items + 1] = { type = "message", role = m.role, content = content }
  end
  for _, c in ipairs(m.tool_calls or {}) do
    items[#items + 1] = { type = "function_call", call_id = c.id, name = c.name, arguments = c.raw or ml.json.encode(c.arguments) }
  end
end

function M.request(r, o, streaming)
  local items, first = ml.list {}, 1
  local body = { model = r.model, store = false, max_output_tokens = o.max_tokens, temperature = o.temperature, top_p = o.top_p }
  if o.messages[1].role == "system" then
    body.instructions = text_of(o.messages[1].parts)
    first = 2
  end
  for i = first, #o.messages do add(items, o.messages[i]) end
  body.input = items
  if type(o.reasoning) == "string" then
    body.reasoning = { effort = o.reasoning, summary = "auto" }
    body.include = ml.list { "reasoning.encrypted_content" }
  end
  if o.tools and #o.tools > 0 then
    body.tools = ml.list {}
    for i, t in ipairs(o.tools) do
      body.tools[i] = { type = "function", name = t.name, description = t.description, parameters = t.input, strict = false }
    end
    local choice = o.tool_choice
    if choice and choice ~= "auto" then
      body.tool_choice = (choice == "none" or choice == "required") and choice or { type = "function", name = choice }
    end
  end
  if o.output then body.text = { format = { type = "json_schema", name = "output", schema = o.output, strict = false } } end
  if streaming then body.stream = true end
  return { path = "/responses", auth = r.key }, body
end

local function usage_of(L, u)
  if type(u) ~= "table" then return nil end
  local i, o = L.some(u.input_tokens_details) or {}, L.some(u.output_tokens_details) or {}
  return { input = L.count(u.input_tokens), cached = L.count(i.cached_tokens), output = L.count(u.output_tokens), reasoning = L.count(o.reasoning_tokens) }
end

local function summary_of(item)
  local texts = {}
  for _, s in ipairs(item.summary or {}) do texts[#texts + 1] = s.text end
  return #texts > 0 and table.concat(texts, "\n") or nil
end

local function from_items(L, v, items)
  local a = { id = L.some(v.id), model = L.some(v.model), usage = usage_of(L, L.some(v.usage)), tool_calls = {} }
  local texts, thoughts = {}, ml.list {}
  for _, item in ipairs(items) do
    if item.type == "message" then
      for _, p in ipairs(L.some(item.content) or {}) do
        if p.type == "output_text" then texts[#texts + 1] = p.text end
        if p.type == "refusal" then a.refused = p.refusal end
      end
    elseif item.type == "function_call" then
      a.tool_calls[#a.tool_calls + 1] = L.tool_call(item.call_id, item.name, L.some(item.arguments))
    elseif item.type == "reasoning" then
      thoughts[#thoughts + 1] = { text = summary_of(item), id = L.some(item.id), encrypted = L.some(item.encrypted_content) }
    end
  end
  a.text = table.concat(texts)
  a.reasoning = #thoughts > 0 and thoughts or nil
  local why = (L.some(v.incomplete_details) or {}).reason
  if why == "content_filter" then a.refused = "its content filter stopped the answer" end
  a.stop = why == "max_output_tokens" and "length" or "end"
  return a
end

function M.answer(r, L, v)
  if v.status == "failed" then L.raise(r, nil, { error = L.some(v.error) or {} }) end
  if type(v.output) ~= "table" then
    ml.fail(("%s:%s answered without output"):format(r.provider, r.model), { type = "BadResponse", retryable = true })
  end
  return from_items(L, v, v.output)
end

function M.reader(r, L, emit)
  local items, last = {}, nil
  local function event(v, kind)
    kind = v.type or kind
    if kind == "response.output_text.delta" then
      emit { type = "text", text = v.delta }
    elseif kind == "response.reasoning_summary_text.delta" or kind == "response.reasoning_text.delta" then
      emit { type = "reasoning", text = v.delta }
    elseif kind == "response.output_item.added" and v.item.type == "function_call" then
      emit { type = "tool_call", index = v.output_index, id = v.item.call_id, name = v.item.name }
    elseif kind == "response.output_item.done" then
      items[#items + 1] = v.item
    elseif kind == "response.failed" then
      L.raise(r, nil, { error = L.some(v.response.error) or {} })
    elseif kind == "error" then
      L.raise(r, nil, { error = { type = L.some(v.code), message = L.some(v.message) } })
    elseif kind == "response.completed" or kind == "response.incomplete" then
      last = v.response
      return true
    end
    return false
  end
  local function finish()
    local whole = L.some(last.output)
    return from_items(L, last, type(whole) == "table" and #whole > 0 and whole or items)
  end
  return { event = event, finish = finish }
end

return M
