-- The MCP client: against the reference server, against our own, and against one that is written here to lose its sessions; and an
-- agent that uses what it offers, in a run and live.
local t = require "support"

local fixtures = [==[ [
  {"match":{"userMessage":"add","hasToolResult":false},"response":{"toolCalls":[{"id":"c1","name":"add","arguments":{"a":1,"b":2}},{"id":"c2","name":"own","arguments":{}}]}},
  {"match":{"userMessage":"add","hasToolResult":true},"response":{"content":"It is 3."}},
  {"match":{"userMessage":"wrong","hasToolResult":false},"response":{"toolCalls":[{"id":"w1","name":"add","arguments":{"a":"x"}}]}},
  {"match":{"userMessage":"wrong","hasToolResult":true},"response":{"content":"I see."}}
] ]==]

local tools = t.root:gsub("^%.$", os.getenv("PWD") or ".") .. "/tests/mcp/tools.lua"
local model, everything

setup(function()
  model, everything = t.aimock(fixtures), t.mcp_everything()
end)
teardown(function()
  model.stop()
  everything.stop()
end)

-- A script with the server `own` (our own program); %q takes texts into it.
local function top(more)
  return ([[
  local own = ml.mcp { name = "own", command = { %q, "mcp", %q, "--db", %q }, timeout = "20s",
    tools = { "add", "greet", "numbers", "nothing", "refuse", "slow", "broken" } }
  local everything = ml.mcp { name = "everything", url = ml.env("EVERYTHING"), timeout = "20s" }
  ]]):format(t.program, tools, os.tmpname()) .. (more or "")
end

local function env() return { EVERYTHING = everything.url .. "/mcp", MODEL_URL = model.url .. "/v1", OPENAI_API_KEY = "k" } end
local function workflow(body, more, options)
  options = options or {}
  return t.workflow(body, { top = top(more), env = env(), history = options.history, args = options.args })
end
local function activity(body, more, clock) return t.activity(body, { top = top(more), env = env(), args = { "--workflow", "w" }, clock = clock }) end

local function names_of(list)
  local names = {}
  for _, tool in ipairs(list) do names[#names + 1] = tool.name end
  table.sort(names)
  return names
end

local agent = [[
  local own_tool = ml.tool { name = "own", run = function() return "mine" end }
  local a = ml.agent { name = "a", model = ml.model("openai:gpt-4.1-mini", { base_url = ml.env("MODEL_URL") }), tools = { own_tool, own } }
]]

describe("ml.mcp", function()
  it("gives its tools to an agent: in a run the list and each call are recorded", function()
    local r = t.run(top(agent) .. 'ml.workflow("w", function() return (a:run("add")) end)', { env = env(), args = { "--id", "x", "--workflow", "w" }, history = "x" })
    assert.equal(0, r.code, r.err)
    assert.equal("It is 3.", r.value)
    local types = {}
    for _, e in ipairs(r.history.events) do
      local at = e.activityTaskScheduledEventAttributes
      if at then types[#types + 1] = at.activityType.name end
    end
    assert.same({ "moonloop.mcp.list.own", "moonloop.model", "moonloop.mcp.call.own", "own", "moonloop.model" }, types)
  end)
  it("gives them to a live agent too, checks arguments before they go out", function()
    local v = activity([[
      local answer, took = a:run("wrong")
      return { answer, took.messages[3].content }]], agent)
    assert.equal("I see.", v[1])
    assert.matches("/a: must be number, is string", v[2], 1, true)
  end)
  it("refuses what makes no sense", function()
    local function says(spec, text)
      local r = t.run("ml.mcp " .. spec .. "\nml.workflow('w', function() end)")
      assert.not_equal(0, r.code)
      assert.matches(text, r.err, 1, true)
    end
    says("{ name = 'x' }", "x needs either url or command")
    says("{ name = 'x', url = 'http://x', command = { 'y' } }", "x needs either url or command")
    says("{ url = 'http://x' }", "name is up to 50 letters")
    says("{ name = 'x', command = {} }", "command is a list")
    says("{ name = 'x', urls = 'http://x' }", "unknown option 'urls'")
    says("{ name = 'x', url = 'http://x' } ml.mcp { name = 'x', url = 'http://x' }", "is defined twice")
  end)
end)

describe("mcp:list", function()
  it("is what the server offers, of that what is wanted", function()
    local body = "return own:list()"
    local a, b = workflow(body), activity(body)
    assert.same({ "add", "broken", "greet", "nothing", "numbers", "refuse", "slow" }, names_of(a))
    assert.same(a, b)
    assert.same("number", a[1].input.properties.a.type)
  end)
  it("reads the reference server's, over HTTP and of a program", function()
    local command = {}
    for i, word in ipairs(t.mcp_everything_command()) do command[i] = ("%q"):format(word) end
    local v = activity("return { everything:list(), program:list() }",
      'local program = ml.mcp { name = "program", command = { ' .. table.concat(command, ", ") .. " }, timeout = '30s' }")
    local over_http, of_program = names_of(v[1]), names_of(v[2])
    assert.same(over_http, of_program)
    assert.is_true(#over_http >= 10)
  end)
  it("tells what a program said that ended, or that there is none", function()
    local v = activity([[
      local out = {}
      for i, s in ipairs { ended, none, silent } do
        local ok, e = pcall(s.list, s)
        out[i] = { ok, e.type, e.message }
      end
      return out]], [[
      local ended = ml.mcp { name = "ended", command = { "sh", "-c", "echo no licence >&2; exit 3" } }
      local none = ml.mcp { name = "none", command = { "/no/such/program" } }
      local silent = ml.mcp { name = "silent", command = { "sleep", "300" }, timeout = "300ms" }]], "real") -- a program takes real time
    assert.same({ "Connection", "NotFound", "Timeout" }, { v[1][2], v[2][2], v[3][2] })
    assert.matches("no licence", v[1][3])
  end)
end)

describe("mcp:call", function()
  it("gives structured content, texts, and the content as it is", function()
    local v = workflow [[return { own:call("add", { a = 1, b = 2 }), own:call("greet", { name = "you" }), own:call("nothing") == "",
      everything:call("echo", { message = "hi" }), everything:call("get-structured-content", { location = "New York" }), everything:call("get-tiny-image") }]]
    assert.same({ sum = 3 }, v[1])
    assert.equal("hello you", v[2])
    assert.equal(true, v[3])
    assert.equal("Echo: hi", v[4])
    assert.is_number(v[5].temperature)
    assert.equal("image", v[6].content[2].type)
  end)
  it("raises what went wrong, typed", function()
    local v = activity [[
      local out = {}
      for i, c in ipairs { { own, "refuse" }, { own, "no_such_tool" }, { own, "greet", { name = 7 } }, { everything, "echo", {} } } do
        local ok, e = pcall(c[1].call, c[1], c[2], c[3])
        out[i] = { ok, e.type, e.message }
      end
      return out]]
    assert.same({ "McpToolError", "McpError", "McpToolError", "McpToolError" }, { v[1][2], v[2][2], v[3][2], v[4][2] })
    assert.equal("not today", v[1][3])
    assert.matches("/name: must be string", v[3][3], 1, true)
  end)
  it("is not made twice by itself", function()
    local v = workflow [[local ok, e = pcall(own.call, own, "refuse") return { ok, e.cause.type }]]
    assert.same({ false, "McpToolError" }, v)
  end)
end)

-- A server that answers in events, asks something of the client in between, and forgets its sessions after the first list.
local forgetful = [[
local sessions, begun, pongs, forgot = {}, 0, 0, false
ml.api {}:post("/mcp", function(req)
  local m = req:json()
  if m.method == "initialize" then
    begun = begun + 1
    sessions["s" .. begun] = true
    return ml.response { headers = { ["Mcp-Session-Id"] = "s" .. begun },
      json = { jsonrpc = "2.0", id = m.id, result = { protocolVersion = "2025-06-18", capabilities = { tools = {} }, serverInfo = { name = "f", version = "1" } } } }
  end
  if not sessions[req.headers["mcp-session-id"] or ""] then return ml.response { status = 404 } end
  if m.result and m.id == "ping-1" then pongs = pongs + 1 end
  if m.id == nil or m.method == nil then return ml.response { status = 202 } end
  if m.method == "tools/list" then
    if m.params.cursor then return { jsonrpc = "2.0", id = m.id, result = { tools = { { name = "two" } } } } end
    return { jsonrpc = "2.0", id = m.id, result = { tools = { { name = "one" } }, nextCursor = "next" } }
  end
  if not forgot then
    forgot, sessions = true, {}
    return ml.response { status = 404 }
  end
  return ml.stream(function(send)
    send { data = { jsonrpc = "2.0", method = "notifications/message", params = {} } }
    send { data = { jsonrpc = "2.0", id = "ping-1", method = "ping" } }
    while pongs == 0 do ml.sleep("10ms") end
    send { data = { jsonrpc = "2.0", id = m.id, result = { content = { { type = "text", text = ("begun %d, pongs %d"):format(begun, pongs) } } } } }
  end)
end)]]

describe("an MCP server over HTTP", function()
  it("may answer in events, ask in between, page its list and forget its sessions", function()
    local s = t.serve(forgetful)
    local v = t.activity("return { f:list()[2].name, f:call('one') }",
      { top = ("local f = ml.mcp { name = 'f', url = '%s/mcp', timeout = '10s' }"):format(s.url), args = { "--workflow", "w" } })
    s.stop()
    assert.same({ "two", "begun 2, pongs 1" }, v)
  end)
  it("that is none is told", function()
    local server = t.http_server()
    local v = t.activity([[
      local out = {}
      for i, s in ipairs { gone, page, denied } do
        local ok, e = pcall(s.list, s)
        out[i] = e.type
      end
      return out]], { args = { "--workflow", "w" }, top = ([[
      local gone = ml.mcp { name = "gone", url = "http://127.0.0.1:1/mcp" }
      local page = ml.mcp { name = "page", url = "%s/status/200" }
      local denied = ml.mcp { name = "denied", url = "%s/status/401" }]]):format(server.url, server.url) })
    server.stop()
    assert.same({ "Connect", "BadResponse", "AuthError" }, v)
  end)
end)
