-- ml.agent against model servers that others wrote: live, in an activity, and as a loop in a run whose every call is recorded.
local t = require "support"

local fixtures = [==[ [
  {"match":{"systemMessage":"You are the second"},"response":{"content":"The second speaks."}},
  {"match":{"systemMessage":"Summarise the conversation"},"response":{"content":"They spoke of tides."}},
  {"match":{"userMessage":"What came before"},"response":{"content":"Cold, warm."}},
  {"match":{"userMessage":"greet"},"response":{"content":"Hello there.","usage":{"prompt_tokens":1000,"completion_tokens":100}}},
  {"match":{"userMessage":"weather","hasToolResult":false},"response":{"toolCalls":[{"id":"c1","name":"get_weather","arguments":{"city":"Oslo","wait":0.2}},{"id":"c2","name":"get_weather","arguments":{"city":"Rome","wait":0}}]}},
  {"match":{"userMessage":"weather","hasToolResult":true},"response":{"content":"Cold, warm."}},
  {"match":{"userMessage":"unknown tool","toolResultContains":"there is no tool"},"response":{"content":"I see."}},
  {"match":{"userMessage":"unknown tool"},"response":{"toolCalls":[{"id":"u1","name":"fly","arguments":{}}]}},
  {"match":{"userMessage":"broken once","hasToolResult":false},"response":{"toolCalls":[{"id":"b1","name":"get_weather","arguments":"{\"city\""}]}},
  {"match":{"userMessage":"broken once","hasToolResult":true},"response":{"content":"Sorry."}},
  {"match":{"userMessage":"wrong arguments","hasToolResult":false},"response":{"toolCalls":[{"id":"w1","name":"get_weather","arguments":{"town":"Oslo"}}]}},
  {"match":{"userMessage":"wrong arguments","hasToolResult":true},"response":{"content":"Right."}},
  {"match":{"userMessage":"always broken"},"response":{"toolCalls":[{"id":"b2","name":"get_weather","arguments":"{\"city\""}]}},
  {"match":{"userMessage":"endless"},"response":{"toolCalls":[{"id":"e1","name":"get_weather","arguments":{"city":"Oslo"}}]}},
  {"match":{"userMessage":"fails","hasToolResult":false},"response":{"toolCalls":[{"id":"f1","name":"fails","arguments":{}}]}},
  {"match":{"userMessage":"fails","hasToolResult":true},"response":{"content":"It failed."}},
  {"match":{"userMessage":"plan it"},"response":{"content":"{\"ideas\":[\"tides\"]}"}},
  {"match":{"userMessage":"fenced plan"},"response":{"content":"Here you are:\n```json\n{\"ideas\":[\"fences\"]}\n```"}},
  {"match":{"userMessage":"does not match the schema"},"response":{"content":"{\"ideas\":[\"mended\"]}"}},
  {"match":{"userMessage":"bad plan"},"response":{"content":"no plan at all"}},
  {"match":{"userMessage":"hand me over","hasToolResult":false},"response":{"toolCalls":[{"id":"h1","name":"transfer_to_second","arguments":{}}]}},
  {"match":{"userMessage":"ask the helper","hasToolResult":false},"response":{"toolCalls":[{"id":"s1","name":"second","arguments":{"input":"help, please"}}]}},
  {"match":{"userMessage":"ask the helper","hasToolResult":true},"response":{"content":"Asked."}},
  {"match":{"userMessage":"busy"},"response":{"error":{"message":"slow down","type":"rate_limit_error"},"status":429,"retryAfter":7}},
  {"match":{"userMessage":"cut"},"response":{"content":"This answer will be cut short somewhere in the middle"},"chunkSize":5,"latency":30,"truncateAfterChunks":5},
  {"match":{"userMessage":"nothing"},"response":{"content":""}},
  {"match":{"userMessage":"publish","hasToolResult":false},"response":{"toolCalls":[{"id":"p1","name":"publish","arguments":{"text":"hi"}}]}},
  {"match":{"userMessage":"publish","hasToolResult":true},"response":{"content":"Published, or not."}},
  {"match":{"userMessage":"slow answer"},"response":{"content":"This takes its time to come, piece by piece."},"latency":300,"chunkSize":10}
] ]==]

local server

local top = [[
  local M = ml.model("openai:gpt-4.1-mini", { base_url = ml.env("URL") })
  local get_weather = ml.tool { name = "get_weather", description = "Weather of a city", input = { type = "object", properties = { city = { type = "string" } }, required = ml.list { "city" } },
    run = function(args) if args.wait then ml.sleep(args.wait) end return { city = args.city, degrees = #args.city } end }
  local fails = ml.tool { name = "fails", retry = { max_attempts = 1 }, run = function() ml.fail("the disk is full", { type = "DiskFull", retryable = false }) end }
  local a = ml.agent { name = "a", model = M, instructions = "Be brief.", tools = { get_weather, fails }, limits = { turns = 6 } }
]]

local function env() return { URL = server.url .. "/v1" } end

-- The agent in a run; the whole result of the program.
local function run(body, options)
  options = options or {}
  return t.run((options.top or top) .. "ml.workflow('w', function(input)\n" .. body .. "\nend)", { env = options.env or env(), args = { "--id", "x", "--workflow", "w", table.unpack(options.args or {}) },
    history = "x", clock = options.clock, input = options.input, keep = options.keep })
end

local function value(r)
  assert.equal(0, r.code, r.err)
  return r.value
end

local function live(body, options)
  return t.activity(body, { top = options and options.top or top, env = env(), args = { "--workflow", "w" } })
end

-- The types of the activities that a history scheduled, in order.
local function scheduled(history)
  local types = {}
  for _, e in ipairs(history.events) do
    local at = e.activityTaskScheduledEventAttributes
    if at then types[#types + 1] = at.activityType.name end
  end
  return types
end

setup(function() server = t.aimock(fixtures) end)
teardown(function() if server then server.stop() end end)

describe("ml.agent", function()
  it("refuses what is no definition, with the place", function()
    local function refused(text)
      local r = t.run("local M = 'openai:x'\n" .. text .. "\nml.workflow('w', function() end)")
      assert.equal(2, r.code, r.out)
      return r.err
    end
    assert.matches("s.lua:3: ml.agent: name is up to 50 letters", refused "ml.agent { name = 'a b', model = M }")
    assert.matches("a needs a model", refused "ml.agent { name = 'a' }")
    assert.matches("unknown option 'tols' %(did you mean 'tools'%?%)", refused "ml.agent { name = 'a', model = M, tols = {} }")
    assert.matches('"a" is defined twice', refused "ml.agent { name = 'a', model = M }\nml.agent { name = 'a', model = M }")
    assert.matches("tools%[1%] is neither a tool nor an agent", refused "ml.agent { name = 'a', model = M, tools = { 7 } }")
    assert.matches("two tools are named x", refused "local x = ml.tool { name = 'x', run = function() end }\nml.agent { name = 'a', model = M, tools = { x, x } }")
    assert.matches("a: output: .*", refused "ml.agent { name = 'a', model = M, output = { type = 'objekt' } }")
    assert.matches('limits.cost is an amount such as "0.50 USD"', refused "ml.agent { name = 'a', model = M, limits = { cost = '5 EUR' } }")
    local r = t.run("ml.workflow('w', function() ml.agent { name = 'a', model = 'openai:x' } end)")
    assert.matches("definitions belong to the top of the file", r.err)
  end)
end)

describe("agent:run", function()
  it("answers live", function()
    local v = live "local text, took = a:run('greet') return { text, took.turns, took.usage.input, took.usage.nano_usd, #took.messages }"
    assert.same({ "Hello there.", 1, 1000, 1000 * 400 + 100 * 1600, 2 }, v)
  end)
  it("is in a run an activity a call, recorded once, and replays", function()
    local r = run("local text, took = a:run('weather') return { text = text, took = took }", { keep = true })
    local v = value(r)
    assert.equal("Cold, warm.", v.text)
    assert.same({ "moonloop.model", "get_weather", "get_weather", "moonloop.model" }, scheduled(r.history))
    assert.equal(2, v.took.turns)
    assert.equal("c1", v.took.messages[3].tool_call_id) -- the model's order, though Rome was there first
    assert.matches("Oslo", v.took.messages[3].content)
    assert.matches("Rome", v.took.messages[4].content)
    r.dir:write("h.json", r.dir:exec({ "show", "x", "--json" }).out)
    local replayed = r.dir:exec { "replay", "h.json", "s.lua" }
    r.dir:remove()
    assert.equal(0, replayed.code, replayed.out .. replayed.err)
  end)
  it("calls tools in parallel", function()
    local top2 = top:gsub("ml.sleep%(args.wait%)", "ml.sleep(1)")
    local v = live("local t0 = ml.now() a:run('weather') return ml.time.diff(ml.now(), t0)", { top = top2 })
    assert.is_true(v < 1.9, v)
  end)
  it("tells the model of an unknown tool, of broken arguments, of a tool that failed, and goes on", function()
    for _, way in ipairs { live, function(body) return value(run(body)) end } do
      local v = way [[
        local out = {}
        for _, word in ipairs { "unknown tool", "broken once", "fails", "wrong arguments" } do
          local text, took = a:run(word)
          out[word] = { text = text, told = took.messages[3].content, is_error = took.messages[3].is_error }
        end
        return out]]
      assert.equal("I see.", v["unknown tool"].text)
      assert.matches('there is no tool \\"fly\\"; there are: get_weather, fails', v["unknown tool"].told, 1, true)
      assert.matches("BrokenArguments", v["broken once"].told)
      assert.equal("Right.", v["wrong arguments"].text)
      assert.matches("InvalidArguments", v["wrong arguments"].told)
      assert.matches("city", v["wrong arguments"].told)
      assert.equal("It failed.", v.fails.text)
      assert.matches('"DiskFull"', v.fails.told)
      assert.is_true(v.fails.is_error)
    end
  end)
  it("ends when no call can be made, turn after turn", function()
    for _, way in ipairs { live, function(body) return value(run(body)) end } do
      local v = way "local ok, e = pcall(a.run, a, 'always broken') return { e.type, e.message, e.retryable }"
      assert.equal("BadToolCalls", v[1])
      assert.matches("4 turns", v[2])
      assert.is_false(v[3])
    end
  end)
  it("types a model that answers nothing", function()
    local v = live "local ok, e = pcall(a.run, a, 'nothing') return { e.type }"
    assert.equal("EmptyAnswer", v[1])
    local r = run "local ok, e = pcall(a.run, a, 'nothing') return { e.cause.type, e.retry_state }"
    assert.same({ "EmptyAnswer", "maximum_attempts_reached" }, value(r))
  end)
  it("live fails at its limits: turns, tool calls, tokens, money, time", function()
    local v = live [[
      local out = {}
      local function try(name, word, limits) local ok, e = pcall(a.run, a, word, { limits = limits }) out[name] = type(e) == "string" and e or e.type .. ": " .. e.message end
      try("turns", "endless", { turns = 3 })
      try("calls", "weather", { tool_calls = 1 })
      try("tokens", { { role = "user", content = "weather" } }, { tokens = 1 })
      try("cost", "weather", { cost = "0.000000001 USD" })
      try("time", "weather", { time = 0.1 })
      return out]]
    assert.equal("LimitReached: agent a has reached its limit of 3 turns", v.turns)
    assert.equal("LimitReached: agent a has reached its limit of 1 tool calls", v.calls)
    assert.equal("LimitReached: agent a has reached its limit of 1 tokens", v.tokens)
    assert.equal("LimitReached: agent a has reached its limit of 1 nano-USD", v.cost)
    assert.matches("^LimitReached: agent a has reached its limit of 0.1 seconds", v.time)
  end)
  it("refuses a limit in money where the price is not known", function()
    local v = t.activity("local ok, e = pcall(b.run, b, 'greet') return e.type",
      { top = "local b = ml.agent { name = 'b', model = ml.model('house', { base_url = ml.env 'URL' }), limits = { cost = '1 USD' } }", env = env(), args = { "--workflow", "w" } })
    assert.equal("UnknownPrice", v)
  end)
  it("in a run waits at a limit for a person, who raises it or ends the agent", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. top .. "ml.workflow('w', function() local ok, e = pcall(a.run, a, 'endless', { limits = { turns = 2 } }) return { e.type, e.message } end)" }
    local r = d:exec({ "run", "s.lua", "--workflow", "w", "--id", "x", "--clock", "virtual" }, { env = env() })
    assert.equal(3, r.code, r.err) -- it waits
    local items = d:exec({ "query", "x", "moonloop.approvals" }, { env = env() }).value
    assert.equal(1, #items)
    assert.equal("limit", items[1].kind)
    assert.same({ limit = "turns", max = 2, used = 2 }, items[1].args)
    local function decide(text) assert.equal(0, d:exec({ "signal", "x", "moonloop.decide", text }, { env = env() }).code) end
    decide('{"id":"1","decision":"edit","args":{"max":3}}')
    r = d:exec({ "run", "s.lua", "--workflow", "w", "--id", "x" }, { env = env() })
    assert.equal(3, r.code, r.err)
    decide('{"id":"2","decision":"reject","reason":"enough"}')
    r = d:exec({ "run", "s.lua", "--workflow", "w", "--id", "x" }, { env = env() })
    assert.equal(0, r.code, r.err)
    assert.same({ "LimitReached", "agent a has reached its limit of 3 turns: enough" }, r.value)
    local models = 0
    for _, name in ipairs(scheduled(d:exec({ "show", "x", "--json" }).value)) do models = models + (name == "moonloop.model" and 1 or 0) end
    assert.equal(3, models)
    d:remove()
  end)
  it("gives an output by its schema, asks again when it breaks it, and not for ever", function()
    local planner = [[
      local M = ml.model("openai:gpt-4.1-mini", { base_url = ml.env("URL") })
      local p = ml.agent { name = "p", model = M, output = { type = "object", properties = { ideas = { type = "array", items = { type = "string" } } }, required = ml.list { "ideas" } } }
      local q = ml.agent { name = "q", model = M, output = ml.schema { ideas = "string[]" }, repairs = 0 }
    ]]
    for _, way in ipairs { function(b) return live(b, { top = planner }) end, function(b) return value(run(b, { top = planner })) end } do
      local v = way [[
        local mended, took = p:run("bad plan")
        local ok, e = pcall(q.run, q, "bad plan")
        return { q:run("plan it").ideas[1], p:run("fenced plan").ideas[1], mended.ideas[1], took.turns, e.type, e.details.output }]]
      assert.same({ "tides", "fences", "mended", 2, "BadOutput", "no plan at all" }, v)
    end
  end)
  it("hands over to another agent, and has agents as tools: children in a workflow", function()
    local two = [[
      local M = ml.model("openai:gpt-4.1-mini", { base_url = ml.env("URL") })
      local second = ml.agent { name = "second", model = M, instructions = "You are the second." }
      local first = ml.agent { name = "first", model = M, instructions = "You are the first.", handoffs = { second }, tools = { second } }
    ]]
    local body = [[
      local text, took = first:run("hand me over")
      local asked, took2 = first:run("ask the helper")
      return { text, took.agent, asked, took2.messages[3].content }]]
    local want = { "The second speaks.", "second", "Asked.", "The second speaks." }
    assert.same(want, live(body, { top = two }))
    local r = run(body, { top = two })
    assert.same(want, value(r))
    local children = 0
    for _, e in ipairs(r.history.events) do
      if e.startChildWorkflowExecutionInitiatedEventAttributes then
        children = children + 1
        assert.equal("moonloop.agent.second", e.startChildWorkflowExecutionInitiatedEventAttributes.workflowType.name)
      end
    end
    assert.equal(1, children)
  end)
  it("makes the older part of a long conversation a summary, as a recorded step", function()
    local c = [[
      local M = ml.model("openai:gpt-4.1-mini", { base_url = ml.env("URL") })
      local get_weather = ml.tool { name = "get_weather", run = function(args) return args.city end }
      local a = ml.agent { name = "a", model = M, tools = { get_weather }, compact = { after = 1, keep = 2 } }
    ]]
    local r = run("local _, took = a:run(ml.list { { role = 'user', content = 'hello' }, { role = 'assistant', content = 'yes' }, { role = 'user', content = 'weather' } }) return took.messages", { top = c })
    local m = value(r)
    assert.same({ "moonloop.model", "get_weather", "get_weather", "moonloop.model", "moonloop.model" }, scheduled(r.history))
    assert.equal("What came before, in short:\nThey spoke of tides.", m[1].content)
    assert.equal("assistant", m[2].role) -- the calls stay with their results
    assert.equal("tool", m[3].role)
  end)
  it("calls hooks before and after each call, which may change and refuse", function()
    local hooks = [[
      local M = ml.model("openai:gpt-4.1-mini", { base_url = ml.env("URL") })
      local seen = {}
      local get_weather = ml.tool { name = "get_weather", run = function(args) return args.city end }
      local a = ml.agent { name = "a", model = M, tools = { get_weather }, hooks = {
        before_model = function(request, messages, state) seen[#seen + 1] = "before " .. request.agent .. " " .. #messages .. " " .. state.turns end,
        after_model = function(answer) seen[#seen + 1] = "after " .. #answer.tool_calls end,
        before_tool = function(call) if call.arguments.city == "Rome" then return false, "not Rome" end return { city = "Bergen" } end,
        after_tool = function(_, value) return "it is " .. value end } }
    ]]
    local v = value(run("local _, took = a:run('weather') return { seen = seen, one = took.messages[3].content, two = took.messages[4].content }", { top = hooks }))
    assert.same({ "before a 1 0", "after 2", "before a 4 1", "after 0" }, v.seen)
    assert.equal("it is Bergen", v.one)
    assert.matches("not Rome", v.two)
  end)
  it("keeps no key in a history", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. top .. "ml.workflow('w', function() return (a:run('greet')) end)" }
    local e = env()
    e.OPENAI_API_KEY = "sk-canary-agent"
    local r = d:exec({ "run", "s.lua", "--workflow", "w" }, { env = e })
    assert.equal(0, r.code, r.err)
    assert.is_nil((r.out .. r.err .. d:read("t.db") .. d:read("t.db-wal")):find("canary", 1, true))
    d:remove()
  end)
  it("stores a growing conversation once", function()
    local r = run([[
      local messages = ml.list {}
      local long = ("x"):rep(2000)
      for i = 1, 30 do
        messages[#messages + 1] = { role = "user", content = "greet " .. i .. long }
        local _, took = a:run(messages)
        messages = took.messages
      end
      return #messages]], { keep = true })
    assert.equal(60, value(r))
    local p = io.popen("sqlite3 " .. r.dir.db .. " 'SELECT sum(length(data)) FROM blobs'")
    local bytes = tonumber(p:read("a"))
    p:close()
    r.dir:remove()
    assert.is_true(bytes > 30 * 2000 and bytes < 4 * 30 * 2000 + 400000, bytes) -- 30 conversations of up to 60 messages would be 900 KB and more
  end)
  it("goes on after kill -9: what was recorded is not asked again", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. top .. [[
      ml.workflow('w', function()
        local one, two = a:run('greet'), a:run('slow answer')
        return { one, two, (a:run('weather')) }
      end)]] }
    os.execute("curl -s -o /dev/null -X POST " .. server.url .. "/__aimock/reset/journal")
    local e = env()
    local p = io.popen(("cd %s && { URL=%s MOONLOOP_DB=%s %s run s.lua --workflow w --id k >out 2>err </dev/null & echo $!; }"):format(d.path, e.URL, d.db, t.program))
    local pid = p:read("l")
    p:close()
    t.eventually("the second call is under way", function() return t.get(server.url .. "/__aimock/journal"):find("slow answer", 1, true) end)
    os.execute("kill -9 " .. pid)
    local r = d:exec({ "run", "s.lua", "--workflow", "w", "--id", "k" }, { env = e })
    assert.equal(0, r.code, r.err)
    assert.same({ "Hello there.", "This takes its time to come, piece by piece.", "Cold, warm." }, r.value)
    local h = d:exec({ "show", "k", "--json" })
    assert.same({ "moonloop.model", "moonloop.model", "moonloop.model", "get_weather", "get_weather", "moonloop.model" }, scheduled(h.value))
    local _, greets = t.get(server.url .. "/__aimock/journal"):gsub('"content":"greet"', "")
    assert.equal(1, greets)
    d:write("h.json", h.out)
    assert.equal(0, d:exec({ "replay", "h.json", "s.lua" }).code)
    d:remove()
  end)
  it("asks the newest text for the model, and says when the agent is gone there", function()
    local text = 'local ml = require "moonloop"\n' .. top .. "ml.workflow('w', function() local ok, e = pcall(a.run, a, 'greet') return { e.cause.type, e.cause.message } end)"
    local d = t.dir { ["s.lua"] = text }
    assert.equal(0, d:exec({ "start", "s.lua", "--workflow", "w", "--id", "x", "--clock", "virtual" }, { env = env() }).code)
    d:write("s.lua", (text:gsub('name = "a"', 'name = "b"')))
    local r = d:exec({ "run", "s.lua", "--workflow", "w", "--id", "x" }, { env = env() })
    d:remove()
    assert.equal(0, r.code, r.err)
    assert.same({ "UnknownAgent", 'the loaded script defines no agent "a" any more: bring it back, or end the run' }, r.value)
  end)
end)

describe("an agent in a run", function()
  it("lets who listens to the run have its tokens as they come", function()
    local s = t.serve(top:gsub('ml.env%("URL"%)', ('"%s"'):format(env().URL)) .. "ml.workflow('w', function() return (a:run('slow answer')) end)")
    local r = s.ask("POST", "/v1/workflows", { body = '{"workflow":"w","id":"x"}', headers = { "Content-Type: application/json" } })
    assert.equal(201, r.status, r.text)
    local out = s.dir.path .. "/live"
    os.execute(("curl -sN -m 20 '%s/v1/workflows/x/stream' >%s 2>/dev/null &"):format(s.url, out))
    t.eventually("a piece of the answer comes", function() return s.dir:read("live"):find('"text":"', 1, true) end)
    assert.is_nil(s.dir:read("live"):find("WorkflowExecutionCompleted", 1, true)) -- before the run has ended
    r = s.ask("GET", "/v1/workflows/x/result?wait=10")
    assert.equal("This takes its time to come, piece by piece.", r.value.result, r.text)
    s.stop()
  end)
end)

describe("agent:stream", function()
  it("gives what happens as it comes", function()
    local v = live [[
      local kinds, text = {}, {}
      local last
      for e in a:stream("weather") do
        kinds[#kinds + 1] = e.type
        if e.type == "text" then text[#text + 1] = e.text end
        last = e
      end
      return { kinds = kinds, text = table.concat(text), result = last.result, turns = last.turns, messages = #last.messages }]]
    assert.equal("Cold, warm.", v.text)
    assert.equal("Cold, warm.", v.result)
    assert.equal(2, v.turns)
    assert.equal(5, v.messages)
    local order = table.concat(v.kinds, " ")
    assert.matches("tool_call .*tool_result tool_result text.* done$", order)
  end)
  it("is what a handler returns: server-sent events, or a problem when nothing came", function()
    local s = t.serve(top:gsub('ml.env%("URL"%)', ('"%s"'):format(env().URL)) .. [[
      local api = ml.api()
      api:post("/chat", { input = ml.schema { messages = "message[]" } }, function(req) return a:stream(req.input.messages) end)
      api:get("/model/{word}", function(req) return ml.llm.stream { model = M, messages = req.params.word } end)]])
    local r = s.ask("POST", "/chat", { body = '{"messages":[{"role":"user","content":"weather"}]}', headers = { "Content-Type: application/json" } })
    assert.equal(200, r.status, r.text)
    assert.equal("text/event-stream", r.headers["content-type"])
    assert.matches("event: tool_call\ndata: {", r.body)
    assert.matches('"text":"Cold, warm."', r.body, 1, true)
    local last = t.decode(r.body:match("event: done\ndata: ([^\n]+)\n\n$"))
    assert.equal("Cold, warm.", last.result)
    assert.equal(2, last.turns)
    assert.matches("event: done", s.ask("GET", "/model/greet").body)
    r = s.ask("GET", "/model/busy")
    assert.equal(503, r.status, r.text)
    assert.equal("urn:moonloop:problem:model-rate-limited", r.value.type)
    assert.equal("7", r.headers["retry-after"])
    r = s.ask("GET", "/model/cut")
    assert.equal(200, r.status)
    assert.matches('event: error\ndata: {[^\n]*"type":"StreamCut"', r.body)
    s.stop()
  end)
  it("does not belong in a workflow", function()
    local v = value(run "local ok, e = pcall(a.stream, a, 'greet') return tostring(e)")
    assert.matches("a:stream belongs to a handler or an activity; a workflow calls a:run", v)
  end)
end)
