-- ml.model and ml.llm against model servers that others wrote (aimock, fakellm): whole answers and streams, tool calls, reasoning,
-- usage and cost, and everything that goes wrong.
local t = require "support"

local fixtures = [==[ [
  {"match":{"userMessage":"greet"},"response":{"content":"Hello there, this is a longer answer.","usage":{"prompt_tokens":1000,"completion_tokens":100,"input_tokens":1000,"output_tokens":100}}},
  {"match":{"userMessage":"think"},"response":{"content":"42","reasoning":"six times seven","reasoningSignature":"sig-1"}},
  {"match":{"userMessage":"weather","hasToolResult":false},"response":{"content":"Let me look.","toolCalls":[{"id":"call_a","name":"get_weather","arguments":{"city":"Oslo"}},{"id":"call_b","name":"get_weather","arguments":{"city":"Rome"}}]}},
  {"match":{"userMessage":"weather","hasToolResult":true},"response":{"content":"Cold in Oslo, warm in Rome."}},
  {"match":{"userMessage":"broken arguments"},"response":{"toolCalls":[{"id":"call_x","name":"get_weather","arguments":"{\"city\": \"Os"}]}},
  {"match":{"userMessage":"too fast"},"response":{"error":{"message":"slow down","type":"rate_limit_error"},"status":429,"retryAfter":7}},
  {"match":{"userMessage":"twice busy","sequenceIndex":0},"response":{"error":{"message":"busy","type":"overloaded_error"},"status":503,"retryAfter":0}},
  {"match":{"userMessage":"twice busy","sequenceIndex":1},"response":{"error":{"message":"oops","type":"server_error"},"status":500}},
  {"match":{"userMessage":"twice busy"},"response":{"content":"at last"}},
  {"match":{"userMessage":"overloaded"},"response":{"error":{"message":"Overloaded","type":"overloaded_error"},"status":529}},
  {"match":{"userMessage":"server error"},"response":{"error":{"message":"oops","type":"server_error"},"status":500}},
  {"match":{"userMessage":"too long"},"response":{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","code":"context_length_exceeded"},"status":400}},
  {"match":{"userMessage":"forbidden words"},"response":{"error":{"message":"rejected by the safety system","type":"invalid_request_error","code":"content_policy_violation"},"status":400}},
  {"match":{"userMessage":"bad request"},"response":{"error":{"message":"unknown field","type":"invalid_request_error"},"status":400}},
  {"match":{"userMessage":"bad key"},"response":{"error":{"message":"invalid key","type":"authentication_error"},"status":401}},
  {"match":{"userMessage":"no money"},"response":{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"},"status":429}},
  {"match":{"userMessage":"no such model"},"response":{"error":{"message":"model not found","code":"model_not_found"},"status":404}},
  {"match":{"userMessage":"cut off"},"response":{"content":"This answer will be cut short somewhere in the middle of it"},"chunkSize":5,"latency":30,"truncateAfterChunks":5},
  {"match":{"userMessage":"nothing"},"response":{"content":""}},
  {"match":{"userMessage":"not json"},"response":{"content":"x"},"chaos":{"malformedRate":1}},
  {"match":{"userMessage":"hang up"},"response":{"content":"x"},"chaos":{"disconnectRate":1}},
  {"match":{"userMessage":"filtered"},"response":{"content":"I will","finishReason":"content_filter"}},
  {"match":{"userMessage":"out of room"},"response":{"content":"once upon a","finishReason":"length"}}
] ]==]

local wires = { "openai", "responses", "anthropic" }
local server, fake

-- The value that an activity returns, with MODEL of one wire form at the server.
local function ask(wire, body, options)
  options = options or {}
  local url = options.url or server.url
  local env = { URL = wire == "anthropic" and url or url .. "/v1", OPENAI_API_KEY = "sk-canary-1", ANTHROPIC_API_KEY = "sk-canary-2" }
  for k, v in pairs(options.env or {}) do env[k] = v end
  return t.activity(body, { top = ([[
    local M = ml.model("%s:%s", { base_url = ml.env("URL"), timeout = "20s" })
    local function try(fn) local ok, e = pcall(fn) return { ok = ok, type = type(e) ~= "string" and e.type or e, message = type(e) ~= "string" and e.message or nil,
      retryable = type(e) ~= "string" and e.retryable or false, after = type(e) ~= "string" and e.retry_after or nil } end
  ]]):format(wire, options.model or "gpt-4.1-mini"), env = env, args = options.args, history = options.history })
end

setup(function()
  server = t.aimock(fixtures)
  fake = t.fakellm [[
version: 1
defaults:
fallback: deterministic_echo
rules:
- name: call
  when:
    messages_contain: "use the tool"
  respond:
    tool_calls:
      - name: look_up
        arguments: {"term": "tides", "n": 3}
- name: broken
  when:
    messages_contain: "fail now"
  respond:
    status: 500
    error: it broke
- name: plain
  when:
    messages_contain: "say it"
  respond:
    content: "The tide is high today"
]]
end)
teardown(function()
  if server then server.stop() end
  if fake then fake.stop() end
end)

describe("ml.model", function()
  it("is made at the top, in a run too, where it can ask nothing", function()
    local v = t.workflow([[
      local ok, e = pcall(function() return M:chat { messages = "hi" } end)
      local ok2, e2 = pcall(function() return ml.llm.chat { messages = "hi" } end)
      return { name = M.name, ok = ok, why = tostring(e), ok2 = ok2, why2 = tostring(e2) }]], { top = "local M = ml.model('openai:gpt-4.1-mini', { api_key = ml.secret 'K' })" })
    assert.equal("openai:gpt-4.1-mini", v.name)
    assert.is_false(v.ok)
    assert.matches("a workflow never does I/O", v.why)
    assert.is_false(v.ok2)
    assert.matches("ml.llm.chat is I/O", v.why2)
  end)
  it("refuses what it does not know, and a key that stands in the script", function()
    local r = t.run("local M = ml.model('openai:x', { base_ulr = 'x' })\nml.workflow('w', function() end)")
    assert.equal(2, r.code)
    assert.matches("unknown option 'base_ulr' %(did you mean 'base_url'%?%)", r.err)
    local v = t.activity([[
      local function try(m, ...) local _, e = pcall(ml.llm.chat, { model = m, messages = "x" }) return e.type .. ": " .. e.message end
      return { try("tides"), try(ml.model("openai:x", { api_key = "sk-123" })), try("nowhere:x") }]])
    assert.matches('^UnknownModel: ml.llm.chat: "tides" is no model: write "provider:name" with one of anthropic, ', v[1])
    assert.matches("^BadRequest: ml.model: api_key is ml.secret", v[2])
    assert.matches("^UnknownModel", v[3])
  end)
  it("reads the address from the environment, or takes it", function()
    local v = t.activity([[return { ml.llm.chat({ model = "openai:gpt-4.1-mini", messages = "greet" }).text, ml.model("some-model", { base_url = ml.env("URL") }):chat({ messages = "greet" }).text }]],
      { env = { OPENAI_BASE_URL = server.url .. "/v1", URL = server.url .. "/v1/" } })
    assert.same({ "Hello there, this is a longer answer.", "Hello there, this is a longer answer." }, v)
  end)
end)

describe("ml.llm.chat", function()
  for _, wire in ipairs(wires) do
    it("answers as a whole: " .. wire, function()
      local a = ask(wire, [[return ml.llm.chat { model = M, messages = { { role = "user", content = "greet" } }, instructions = "Be short." }]])
      assert.equal("Hello there, this is a longer answer.", a.text)
      assert.equal("end", a.stop)
      assert.equal("assistant", a.message.role)
      assert.equal(1000, a.usage.input)
      assert.equal(100, a.usage.output)
      assert.equal(1000 * 400 + 100 * 1600, a.usage.nano_usd) -- gpt-4.1-mini: 0.40 and 1.60 USD for a million
      assert.equal(wire, a.provider)
    end)
    it("calls tools and goes on with their results: " .. wire, function()
      local r = ask(wire, [[
        local tools = { { name = "get_weather", description = "Weather", input = { type = "object", properties = { city = { type = "string" } } } } }
        local messages = ml.list { { role = "user", content = "weather please" } }
        local a = ml.llm.chat { model = M, messages = messages, tools = tools }
        messages[#messages + 1] = a.message
        for _, c in ipairs(a.tool_calls) do
          messages[#messages + 1] = { role = "tool", tool_call_id = c.id, content = ml.json.encode { city = c.arguments.city } }
        end
        local b = ml.llm.chat { model = M, messages = messages, tools = tools }
        return { a = a, b = b }]])
      assert.equal("tools", r.a.stop)
      assert.equal(2, #r.a.tool_calls)
      assert.equal("Oslo", r.a.tool_calls[1].arguments.city)
      assert.equal("call_b", r.a.tool_calls[2].id)
      assert.equal("Cold in Oslo, warm in Rome.", r.b.text)
    end)
    if wire ~= "anthropic" then it("gives arguments that are no JSON as they are: " .. wire, function() -- aimock sends {} instead to Anthropic's form
      local a = ask(wire, [[local n = 0 return ml.llm.chat { model = M, messages = "broken arguments", on_event = function() n = n + 1 end }]])
      assert.equal('{"city": "Os', a.tool_calls[1].raw)
      assert.is_string(a.tool_calls[1].error)
      assert.is_nil(a.tool_calls[1].arguments)
    end) end
    it("types what goes wrong: " .. wire, function()
      local r = ask(wire, [[
        local out = {}
        for _, word in ipairs { "too fast", "overloaded", "server error", "too long", "forbidden words", "bad request", "bad key", "no money", "no such model", "nothing", "not json", "hang up" } do
          out[word] = try(function() return ml.llm.chat { model = M, messages = word } end)
        end
        return out]])
      local function is(word, kind, retryable)
        assert.equal(kind, r[word].type, word .. ": " .. tostring(r[word].message))
        assert.equal(retryable, r[word].retryable, word)
      end
      is("too fast", "RateLimited", true)
      assert.equal(7, r["too fast"].after)
      is("overloaded", "Overloaded", true)
      is("server error", "ServerError", true)
      is("too long", "ContextTooLong", false)
      is("forbidden words", "Refused", false)
      is("bad request", "BadRequest", false)
      is("bad key", "AuthError", false)
      is("no money", "OutOfCredit", false)
      is("no such model", "UnknownModel", false)
      is("nothing", "EmptyAnswer", true)
      is("not json", "BadResponse", true)
      assert.is_true(r["hang up"].retryable)
      assert.matches(wire .. ":gpt%-4.1%-mini answered 429: slow down", r["too fast"].message)
    end)
    it("types a stream that is cut, and errors that come before one: " .. wire, function()
      local r = ask(wire, [[
        local got = {}
        local function on_event(e) got[#got + 1] = e.text end
        local cut = try(function() return ml.llm.chat { model = M, messages = "cut off", on_event = on_event } end)
        return { cut = cut, got = table.concat(got), early = try(function() return ml.llm.chat { model = M, messages = "too fast", on_event = on_event } end),
          empty = try(function() return ml.llm.chat { model = M, messages = "nothing", on_event = on_event } end) }]])
      assert.equal("StreamCut", r.cut.type, r.cut.message)
      assert.is_true(r.cut.retryable)
      assert.is_true(#r.got < 59)
      assert.equal("RateLimited", r.early.type)
      assert.equal(7, r.early.after)
      assert.equal("EmptyAnswer", r.empty.type)
    end)
  end

  it("gives arguments that are no JSON as they are: anthropic", function() -- the reader alone: aimock sends {} instead
    local v = t.activity([[
      local reader = require("moonloop.llm.anthropic").reader({}, require("moonloop.llm"), function() end)
      for _, e in ipairs { { type = "message_start", message = { id = "m", model = "c", usage = { input_tokens = 3 } } },
        { type = "content_block_start", index = 0, content_block = { type = "tool_use", id = "t1", name = "look", input = {} } },
        { type = "content_block_delta", index = 0, delta = { type = "input_json_delta", partial_json = '{"city": ' } },
        { type = "content_block_delta", index = 0, delta = { type = "input_json_delta", partial_json = '"Os' } },
        { type = "message_delta", delta = { stop_reason = "tool_use" }, usage = { output_tokens = 5 } }, { type = "message_stop" } } do reader.event(e) end
      local a = reader.finish()
      return { call = a.tool_calls[1], stop = a.stop, usage = a.usage }]])
    assert.equal('{"city": "Os', v.call.raw)
    assert.is_string(v.call.error)
    assert.equal("tools", v.stop)
    assert.equal(5, v.usage.output)
  end)
  it("tries again here when it is asked to, as the provider says", function()
    local a = ask("openai", [[return ml.llm.chat { model = M, messages = "twice busy", retries = 3 }]])
    assert.equal("at last", a.text)
  end)
  it("says that the room for the answer was too small, and what a filter stopped", function()
    local r = ask("openai", [[return { long = ml.llm.chat({ model = M, messages = "out of room" }).stop, filtered = try(function() return ml.llm.chat { model = M, messages = "filtered" } end) }]])
    assert.equal("length", r.long)
    assert.equal("Refused", r.filtered.type)
  end)
  it("keeps reasoning, and hands it back to the provider", function()
    for _, wire in ipairs(wires) do
      local a = ask(wire, [[return ml.llm.chat { model = M, messages = "think" }]])
      assert.equal("42", a.text)
      assert.equal("six times seven", a.message.reasoning[1].text, wire)
    end
    local streamed = ask("anthropic", [[
      local a = ml.llm.chat { model = M, messages = "think", on_event = function() end }
      ml.llm.chat { model = M, messages = ml.list { { role = "user", content = "x" }, a.message, { role = "user", content = "greet" } } }
      return a]])
    assert.equal("sig-1", streamed.message.reasoning[1].signature)
    local bodies = t.get(server.url .. "/__aimock/journal?path=/v1/messages")
    assert.matches("six times seven", bodies)
  end)
  it("sends images and files by reference, and the marks of the prompt cache", function()
    local d = t.dir { ["dot.png"] = "\137PNG" }
    for _, wire in ipairs(wires) do
      ask(wire, [[
        return ml.llm.chat { model = M, cache = true, instructions = "Look.", messages = { { role = "user", content = { { type = "text", text = "greet" },
          { type = "image", url = "https://example.invalid/a.png" }, { type = "image", path = input }, { type = "file", file = "file-123" } } } } }]], { args = { "--input", '"' .. d.path .. '/dot.png"' } })
    end
    d:remove()
    local sent = t.get(server.url .. "/__aimock/journal")
    assert.matches("https://example.invalid/a.png", sent, 1, true)
    assert.matches("file%-123", sent)
    assert.matches("iVBORw==", sent, 1, true)
  end)
  it("refuses messages that are none", function()
    local r = ask("openai", [[
      local function bad(m) return try(function() return ml.llm.chat { model = M, messages = m } end).message end
      return { bad(ml.list {}), bad(ml.list { { role = "robot", content = "x" } }), bad(ml.list { { role = "tool", content = "x" } }), bad(7), bad(ml.list { { role = "user", content = { { type = "image", path = "/no/such.png" } } } }) }]])
    assert.matches("no messages", r[1])
    assert.matches('message 1: its role is "system"', r[2])
    assert.matches("tool_call_id", r[3])
    assert.matches("messages: a text, or a list", r[4])
    assert.matches("/no/such.png", r[5])
  end)
  it("writes no key anywhere", function()
    local d = t.dir { ["s.lua"] = [[
      local ml = require "moonloop"
      local a = ml.activity("a", { timeout = "10s", retry = { max_attempts = 1 } }, function() return ml.llm.chat { model = "openai:gpt-4.1-mini", messages = "bad key" } end)
      ml.workflow("w", function() return a() end)]] }
    local r = d:exec({ "run", "s.lua" }, { env = { OPENAI_BASE_URL = server.url .. "/v1", OPENAI_API_KEY = "sk-canary-777" } })
    assert.equal(1, r.code)
    assert.matches("AuthError", r.err)
    assert.is_nil((r.out .. r.err .. d:read("t.db") .. d:read("t.db-wal")):find("canary", 1, true))
    d:remove()
  end)
  it("speaks with another fake server the same way", function()
    for _, wire in ipairs { "openai", "anthropic" } do
      local r = ask(wire, [[
        local tools = { { name = "look_up", input = { type = "object" } } }
        local pieces = 0
        local function count() pieces = pieces + 1 end
        return { whole = ml.llm.chat { model = M, messages = "say it" }.text, streamed = ml.llm.chat { model = M, messages = "say it", on_event = count }.text,
          call = ml.llm.chat { model = M, messages = "use the tool", tools = tools }.tool_calls[1], pieces = pieces,
          call2 = ml.llm.chat { model = M, messages = "use the tool", tools = tools, on_event = count }.tool_calls[1], broken = try(function() return ml.llm.chat { model = M, messages = "fail now" } end) }]],
        { url = fake.url })
      assert.equal("The tide is high today", r.whole)
      assert.equal("The tide is high today", r.streamed)
      assert.is_true(r.pieces >= 4)
      assert.same({ term = "tides", n = 3 }, r.call.arguments)
      assert.same({ term = "tides", n = 3 }, r.call2.arguments)
      assert.equal("look_up", r.call2.name)
      assert.equal("ServerError", r.broken.type)
    end
  end)
end)

describe("model:chat", function()
  it("asks this model", function()
    assert.equal("Hello there, this is a longer answer.", ask("openai", [[return M:chat { messages = "greet" }.text]]))
  end)
end)

describe("ml.llm.stream", function()
  for _, wire in ipairs(wires) do
    it("gives the pieces as they come, and the answer at the end: " .. wire, function()
      local r = ask(wire, [[
        local kinds, text, last = {}, {}, nil
        for e in ml.llm.stream { model = M, messages = "think" } do
          kinds[e.type] = (kinds[e.type] or 0) + 1
          if e.type == "text" then text[#text + 1] = e.text end
          last = e
        end
        return { kinds = kinds, text = table.concat(text), answer = last.answer }]])
      assert.equal("42", r.text)
      assert.equal("42", r.answer.text)
      assert.equal(1, r.kinds.done)
      assert.is_true((r.kinds.reasoning or 0) >= 1)
    end)
  end
end)

describe("ml.llm.price", function()
  it("knows models, with their snapshots, and not all", function()
    local v = t.activity([[return { ml.llm.price("openai:gpt-4.1-mini-2025-04-14").output, ml.llm.price("claude-haiku-4-5-20251001").input, ml.llm.price("gpt-4.1-miniature") == nil }]])
    assert.same({ 1.6, 1.0, true }, v)
  end)
  it("is overridden by the model's own, and prices cached tokens as such", function()
    local a = ask("openai", [[return ml.model("openai:house-model", { base_url = ml.env("URL"), price = { input = 10, output = 20 } }):chat { messages = "greet" }.usage]])
    assert.equal(1000 * 10000 + 100 * 20000, a.nano_usd)
    assert.is_nil(ask("openai", [[return ml.llm.chat { model = M, messages = "greet" }.usage]], { model = "house-model" }).nano_usd)
  end)
end)
