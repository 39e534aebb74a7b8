-- Time, waiting and messages of a workflow: one describe per name of lua/api.
local t = require "support"

describe("ml.sleep", function()
  it("waits in workflow time", function()
    local v = t.workflow "local a = ml.time.parse(ml.now()); ml.sleep('3d'); return ml.time.parse(ml.now()) - a"
    assert.is_true(v >= 3 * 86400 * 1000000000 and v < 3 * 86400 * 1000000000 + 1000000000)
  end)
  it("takes seconds, and nothing for zero or less", function()
    local _, r = t.workflow("ml.sleep(0); ml.sleep(-1); ml.sleep(1.5); return 1", { args = { "--id", "x" }, history = "x" })
    local timers = 0
    for _, e in ipairs(r.history.events) do
      if e.eventType == "EVENT_TYPE_TIMER_STARTED" then
        timers = timers + 1
        assert.equal("1.500s", e.timerStartedEventAttributes.startToFireTimeout)
      end
    end
    assert.equal(1, timers)
  end)
  it("refuses what is no duration", function()
    local r = t.run "ml.workflow('w', function() ml.sleep('soon') end)"
    assert.equal(3, r.code)
    assert.matches("ml.sleep", r.err, 1, true)
    assert.matches("s.lua:2", r.err, 1, true)
  end)
end)

describe("ml.sleep_until", function()
  it("waits until a time, and not for a past one", function()
    local v = t.workflow [[
      local due = ml.time.format(ml.time.parse(ml.now()) + 7200 * 1000000000)
      ml.sleep_until(due)
      ml.sleep_until("2001-01-01T00:00:00Z")
      ml.sleep_until(math.mininteger) -- further away than a span can be
      ml.channel("never"):receive { till = math.mininteger }
      return ml.time.parse(ml.now()) - ml.time.parse(due)]]
    assert.is_true(v >= 0 and v < 1000000000)
  end)
  it("is due at that time, however long the task took that asks for it", function()
    local function of_day(iso) -- nanoseconds
      local h, m, s, fraction = iso:match("T(%d%d):(%d%d):(%d%d)%.?(%d*)Z$")
      return ((h * 60 + m) * 60 + s) * 1000000000 + math.tointeger(tonumber((fraction .. "000000000"):sub(1, 9)))
    end
    local waits = {
      "ml.sleep_until(due)", "ml.await(function() return false end, { till = due })", "ml.channel('never'):receive { till = due }" }
    for _, wait in ipairs(waits) do
      local due, r = t.workflow(([[
        local due = ml.time.format(ml.time.parse(ml.now()) + 300000000)
        for _ = 1, 1e6 do end
        %s
        return due]]):format(wait), { clock = "real", args = { "--id", "x" }, history = "x" })
      local began, fires, took
      for _, e in ipairs(r.history.events) do
        if e.eventType == "EVENT_TYPE_WORKFLOW_TASK_STARTED" then began = began or of_day(e.eventTime) end
        if e.eventType == "EVENT_TYPE_TIMER_STARTED" then
          local s = e.timerStartedEventAttributes.startToFireTimeout:match("^(%d*%.?%d*)s$")
          fires = of_day(e.eventTime) + math.floor(s * 1000000000 + 0.5)
          took = of_day(e.eventTime) - began
        end
      end
      assert.is_true(took > 500000, "the task took no time")
      assert.is_true((fires - of_day(due)) % 86400000000000 == 0, wait)
    end
  end)
end)

describe("ml.every", function()
  it("sleeps to the next multiple since the chain of runs began, without drift", function()
    local v = t.workflow [[
      local start = ml.time.parse(ml.info().chain_start)
      local at = ml.list {}
      for i = 1, 3 do
        ml.every("1h")
        at[i] = ml.time.parse(ml.now()) - start
        ml.sleep("10m")
      end
      return at]]
    for i, ns in ipairs(v) do assert.is_true(math.abs(ns - i * 3600 * 1000000000) < 1000000000, tostring(ns)) end
  end)
end)

describe("ml.now", function()
  it("is an ISO time that stands still while nothing waits", function()
    local v = t.workflow "local a = ml.now(); for _ = 1, 1e5 do end; return { a, ml.now() }"
    assert.equal(v[1], v[2])
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.?%d*Z$", v[1])
  end)
end)

describe("ml.await", function()
  it("waits until the predicate holds", function()
    local v = t.workflow [[
      local n = 0
      ml.spawn(function() for _ = 1, 3 do ml.sleep("1m"); n = n + 1 end end)
      local ok = ml.await(function() return n == 3 end)
      return { ok, n }]]
    assert.same({ true, 3 }, v)
  end)
  it("gives false at its time-out", function()
    local v = t.workflow "local a = ml.time.parse(ml.now()); local ok = ml.await(function() return false end, '1h'); return { ok, ml.time.parse(ml.now()) - a >= 3600000000000 }"
    assert.same({ false, true }, v)
  end)
end)

describe("ml.channel", function()
  it("keeps signals that come before anybody asks", function()
    local v = t.workflow([[
      local me = ml.external(ml.info().workflow_id)
      me:signal("x", 1)
      me:signal("x", 2)
      ml.sleep("1s")
      local c = ml.channel("x")
      local _, a = c:receive()
      local _, b = c:receive()
      return { a, b }]])
    assert.same({ 1, 2 }, v)
  end)
end)

describe("channel:receive", function()
  it("times out with false", function()
    local v = t.workflow "local ok, x = ml.channel('never'):receive { timeout = '1h' }; return { ok, x == nil }"
    assert.same({ false, true }, v)
  end)
  it("waits till a time", function()
    local v = t.workflow [[
      local till = ml.time.format(ml.time.parse(ml.now()) + 5000000000)
      local ok = ml.channel('never'):receive { till = till }
      return { ok, ml.now() >= till }]]
    assert.same({ false, true }, v)
  end)
end)

describe("channel:try", function()
  it("never waits", function()
    local v = t.workflow [[
      local c = ml.channel("x")
      local before = c:try()
      ml.external(ml.info().workflow_id):signal("x", "hi")
      ml.sleep("1s")
      local ok, got = c:try()
      return { before, ok, got }]]
    assert.same({ false, true, "hi" }, v)
  end)
end)

describe("ml.on_signal", function()
  it("calls the handler for each signal, in order, also for those that came before it", function()
    local v = t.workflow [[
      local me = ml.external(ml.info().workflow_id)
      me:signal("x", "a")
      ml.sleep("1s")
      local got = ml.list {}
      ml.on_signal("x", function(value) got[#got + 1] = value end)
      me:signal("x", "b")
      ml.await(function() return #got == 2 end, "1h")
      return got]]
    assert.same({ "a", "b" }, v)
  end)
end)

describe("ml.query", function()
  it("answers while the owner runs, with what is true now", function()
    local d = t.dir { ["s.lua"] = [[
      local ml = require "moonloop"
      ml.workflow("w", function()
        local n = 0
        ml.query("n", function() return n end)
        ml.on_signal("more", function(by) n = n + by end)
        ml.channel("go"):receive()
        return n
      end)]] }
    local bg = d:spawn { "run", "s.lua", "--id", "q" }
    t.eventually("the run is there", function() return d:exec({ "query", "q", "n" }).value == 0 end)
    assert.equal(0, d:exec({ "signal", "q", "more", "4" }).code)
    assert.equal(4, d:exec({ "query", "q", "n" }).value)
    assert.equal(0, d:exec({ "signal", "q", "go" }).code)
    t.eventually("the run ends", function() return d:read("bg.out") == "4\n" end)
    bg:kill()
    d:remove()
  end)
  it("answers from outside while the run waits", function()
    local d = t.dir { ["s.lua"] = [[
      local ml = require "moonloop"
      ml.workflow("w", function()
        local state = "waiting"
        ml.query("state", function(suffix) return state .. (suffix or "") end)
        ml.channel("go"):receive()
        state = "gone"
      end)]] }
    local r = d:exec { "run", "s.lua", "--clock", "virtual", "--id", "q" }
    assert.equal(3, r.code)
    assert.matches("signal", r.err)
    assert.equal("waiting!", d:exec({ "query", "q", "state", '"!"' }).value)
    local unknown = d:exec { "query", "q", "nope" }
    assert.equal(1, unknown.code)
    assert.matches("state", unknown.err, 1, true)
    d:remove()
  end)
end)

describe("ml.update", function()
  it("runs a handler that may wait, after its validator", function()
    local d = t.dir { ["s.lua"] = [[
      local ml = require "moonloop"
      local double = ml.activity("double", { timeout = "5s" }, function(n) return n * 2 end)
      ml.workflow("w", function()
        local total = 0
        ml.update("add", function(n) total = total + double(n); return total end,
          { validator = function(n) if n < 0 then ml.fail("negative", { type = "Bad" }) end end })
        ml.await(function() return total >= 10 end)
        return total
      end)]] }
    local bg = d:spawn { "run", "s.lua", "--id", "u" }
    t.eventually("the run is there", function() return d:exec({ "list", "--json" }).out:find('"u"') end)
    local bad = d:exec { "update", "u", "add", "-1" }
    assert.equal(1, bad.code)
    assert.matches("negative", bad.err)
    assert.equal(4, d:exec({ "update", "u", "add", "2" }).value)
    assert.equal(10, d:exec({ "update", "u", "add", "3" }).value)
    t.eventually("the run ends", function() return d:read("bg.out") == "10\n" end)
    bg:kill()
    d:remove()
  end)
end)

describe("ml.cancel_requested", function()
  it("tells inside a shield", function()
    local v = t.workflow [[
      local f = ml.spawn(function()
        return ml.shield(function()
          local before = ml.cancel_requested()
          ml.sleep("1h")
          return { before, ml.cancel_requested() }
        end)
      end)
      ml.sleep("1s")
      local seen
      f:cancel()
      local ok, r = pcall(f.await, f)
      return { ok, r and r[1], r and r[2] }]]
    assert.is_table(v)
    assert.equal(true, v[1])
    assert.equal(false, v[2])
    assert.equal(true, v[3])
  end)
end)
