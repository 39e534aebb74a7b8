-- ml.tool: one definition, called from a workflow, from an activity and by itself; the decision rule.
local t = require "support"

local adder = [[
  local add = ml.tool { name = "add", description = "Adds", input = { type = "object" }, run = function(args, call)
    return { sum = args.a + args.b, tool = call.tool }
  end }
]]

local function refused(definition)
  local r = t.run(definition .. "\nml.workflow('w', function() end)")
  assert.equal(2, r.code)
  return r.err
end

describe("ml.tool", function()
  it("is an activity of its own name in a workflow", function()
    local r = t.run(adder .. "ml.workflow('w', function() return { add { a = 1, b = 9007199254740993 }, add.mode, add.name, add.description } end)",
      { args = { "--id", "x" }, history = "x" })
    assert.equal(0, r.code, r.err)
    assert.same({ { sum = 9007199254740994, tool = "add" }, "live", "add", "Adds" }, r.value)
    local types = {}
    for _, e in ipairs(r.history.events) do
      local a = e.activityTaskScheduledEventAttributes
      if a then types[#types + 1] = a.activityType.name end
    end
    assert.same({ "add" }, types)
  end)
  it("is called by an activity in place", function()
    assert.same({ sum = 3, tool = "add" }, (t.activity("return add { a = 1, b = 2 }", { top = adder })))
  end)
  it("may be called without arguments, and with nothing but a table", function()
    local v = t.activity([[
      local ok, e = pcall(none, 5)
      return { none(), ok, tostring(e) }]], { top = "local none = ml.tool { name = 'none', run = function(args) return next(args) == nil end }" })
    assert.is_true(v[1])
    assert.is_false(v[2])
    assert.matches("takes a table of arguments, not a number", v[3])
  end)
  it("ends a live call at its deadline, and says so", function()
    local v = t.activity([[
      local ok, e = pcall(slow, {})
      return { ok, e.type, e.retryable, e.message }]],
      { top = "local slow = ml.tool { name = 'slow', deadline = '20ms', run = function() ml.sleep(30) end }", args = { "--clock", "real" } })
    assert.same({ false, "ToolTimeout", true, "tool slow did not answer within 20ms" }, v)
  end)
  it("cannot be live when it has side effects, costs, or takes minutes", function()
    assert.matches("s.lua:2: ml.tool: pay declares side effects .* cannot be live", refused "ml.tool { name = 'pay', effects = true, run = function() end }")
    assert.matches("a live tool has a deadline of at most 60 seconds", refused "ml.tool { name = 'pay', deadline = '2m', run = function() end }")
    assert.matches('cost is reserved by what is accepted, so it needs mode = "durable"', refused "ml.tool { name = 'pay', cost = 1, run = function() end }")
  end)
  it("refuses a definition that models could not call", function()
    assert.matches("name is up to 64 letters", refused "ml.tool { name = 'a b', run = function() end }")
    assert.matches("name is up to 64 letters", refused("ml.tool { name = '" .. ("x"):rep(65) .. "', run = function() end }"))
    assert.matches("x has no run", refused "ml.tool { name = 'x' }")
    assert.matches("unknown option 'descripton' %(did you mean 'description'%?%)", refused "ml.tool { name = 'x', descripton = '', run = function() end }")
    assert.matches('"x" is defined twice', refused "ml.activity('x', { timeout = '1s' }, function() end)\nml.tool { name = 'x', run = function() end }")
  end)
end)

describe("tool:async", function()
  it("goes on in a workflow", function()
    assert.equal(10, (t.workflow("local f, g = add:async { a = 1, b = 2 }, add:async { a = 3, b = 4 }; return f:await().sum + g:await().sum", { top = adder })))
  end)
  it("goes on in an activity", function()
    assert.equal(10, (t.activity("local f, g = add:async { a = 1, b = 2 }, add:async { a = 3, b = 4 }; return f:await().sum + g:await().sum", { top = adder })))
  end)
end)

describe("a tool that is elsewhere (remote)", function()
  local server
  setup(function() server = t.http_server() end)
  teardown(function() server.stop() end)
  local function thin(path)
    return ([[
      local thin = ml.tool { name = "thin", mode = "durable", input = ml.schema { n = "integer" }, remote = "%s/%s", auth = ml.secret "THIN_TOKEN", deadline = "10s" }
      local function try(...)
        local ok, e = pcall(thin, ...)
        return ok and e or { type = e.type, message = e.message, retryable = e.retryable, details = e.details }
      end]]):format(server.url, path)
  end
  local options = { env = { THIN_TOKEN = "thin-canary" } }
  local function activity(body, path)
    options.top = thin(path)
    return t.activity(body, options)
  end
  it("posts its arguments as JSON, with its credentials and a key, and gives the answer", function()
    local v = activity("return { try { n = 1 }, try { n = 1 } }", "echo/x")
    assert.same({ "POST", "/echo/x", '{"n":1}', "application/json", "Bearer thin-canary" },
      { v[1].method, v[1].path, v[1].body, v[1].headers["content-type"], v[1].headers.authorization })
    assert.is_true(#v[1].headers["idempotency-key"] >= 32)
    assert.not_equal(v[1].headers["idempotency-key"], v[2].headers["idempotency-key"])
  end)
  it("shows one key in all tries of a call, and in all attempts of its activity", function()
    assert.same({ ok = true }, activity("return try { n = 1 }", "flaky/thin-live"))
    local r = t.run(thin("flaky/thin-run") .. "\nml.workflow('w', function() return thin { n = 1 } end)", options)
    assert.same({ ok = true }, r.value, r.err)
    r = t.run(thin("pay/x") .. "\nml.workflow('w', function() return { thin { n = 1 }, thin { n = 1 } } end)", { env = options.env, args = { "--id", "x" }, history = "x" })
    assert.equal(2, r.value[2].effects - r.value[1].effects + 1, r.err)
    assert.not_equal(r.value[1].key, r.value[2].key)
  end)
  it("checks its arguments before anything is sent", function()
    local v = activity("return try { n = 'one' }", "status/500")
    assert.same({ "InvalidArguments", false, "/n" }, { v.type, v.retryable, v.details.errors[1].pointer })
  end)
  it("says what was refused, and whether to try again", function()
    local function kind(status)
      local v = activity("return try { n = 1 }", "status/" .. status)
      assert.matches(("/status/%d answered %d: status %d"):format(status, status, status), v.message)
      return v.type, v.retryable
    end
    assert.same({ "OutOfCredit", false }, { kind(402) })
    assert.same({ "Conflict", false }, { kind(409) })
    assert.same({ "RateLimited", true }, { kind(429) })
    assert.same({ "Unavailable", true }, { kind(500) })
    assert.same({ "ToolFailed", false }, { kind(404) })
    local slow = activity("thin.deadline = 0.3 return try { n = 1 }", "slow/5")
    assert.same({ "ToolTimeout", true }, { slow.type, slow.retryable })
  end)
  it("is refused where its definition makes no sense", function()
    assert.matches("x has run and remote", refused "ml.tool { name = 'x', remote = 'http://a/', run = function() end }")
    assert.matches("x: remote is the URL of the route", refused "ml.tool { name = 'x', remote = 'a/b' }")
    assert.matches("what it costs is said where it runs", refused "ml.tool { name = 'x', mode = 'durable', remote = 'http://a/', cost = 1 }")
  end)
end)
