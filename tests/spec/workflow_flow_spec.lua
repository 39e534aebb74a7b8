-- Concurrency, failure and determinism of a workflow: one describe per name of lua/api.
local t = require "support"

local acts = [[
local double = ml.activity("double", { timeout = "5s" }, function(n) return n * 2 end)
local fails = ml.activity("fails", { timeout = "5s", retry = { max_attempts = 1 } }, function(text) ml.fail(text, { type = "Asked", retryable = false }) end)
local slow = ml.activity("slow", { timeout = "1h" }, function(s) ml.sleep(s); return s end)
]]

describe("ml.workflow", function()
  it("registers by name; the only one is run", function()
    assert.same({ a = 1 }, t.workflow "return { a = 1 }")
  end)
  it("lists the workflows when there are several", function()
    local r = t.run "ml.workflow('one', function() end) ml.workflow('two', function() end)"
    assert.equal(2, r.code)
    assert.matches("one", r.err)
    assert.matches("two", r.err)
  end)
  it("refuses a definition inside a function", function()
    local r = t.run "ml.workflow('w', function() ml.workflow('inner', function() end) end)"
    assert.equal(3, r.code)
    assert.matches("top", r.err)
  end)
  it("fails on plain errors when asked to", function()
    local r = t.run "ml.workflow('w', { on_error = 'fail' }, function() error('boom') end)"
    assert.equal(1, r.code)
    assert.matches("boom", r.err)
  end)
end)

describe("ml.activity", function()
  it("runs outside and is recorded", function()
    assert.equal(42, t.workflow("return double(21)", { top = acts }))
  end)
  it("wraps what it raised in cause", function()
    local v = t.workflow("local ok, e = pcall(fails, 'no'); return { ok, e.type, e.cause.type, e.cause.message, e.cause.retryable }", { top = acts })
    assert.same({ false, "ActivityFailure", "Asked", "no", false }, v)
  end)
  it("retries by its policy", function()
    local d = t.dir {}
    local v = t.workflow("return flaky('" .. d.path .. "/n')", { top = [[
      local flaky = ml.activity("flaky", { timeout = "5s", retry = { max_attempts = 5, initial = "1s", backoff = 2 } }, function(path)
        ml.fs.append(path, "x")
        if ml.info().attempt < 4 then error("not yet") end
        return #ml.fs.read(path)
      end)]] })
    assert.equal(4, v)
    d:remove()
  end)
  it("asks for a time-out", function()
    local r = t.run "local a = ml.activity('a', {}, function() end) ml.workflow('w', function() a() end)"
    assert.is_true(r.code == 2 or r.code == 3)
    assert.matches("timeout", r.err)
  end)
  it("refuses an unknown option by name", function()
    local r = t.run "ml.activity('a', { timeout = '1s', retires = {} }, function() end) ml.workflow('w', function() end)"
    assert.equal(2, r.code)
    assert.matches("retires", r.err)
    assert.matches("retry", r.err)
  end)
end)

describe("ml.local_activity", function()
  it("runs inside the workflow task and leaves a marker", function()
    local v, r = t.workflow("return quick(3)", { args = { "--id", "l" }, history = "l",
      top = "local quick = ml.local_activity('quick', { timeout = '5s' }, function(n) return n + 1 end)" })
    assert.equal(4, v)
    local marker
    for _, e in ipairs(r.history.events) do
      assert.is_not.equal("EVENT_TYPE_ACTIVITY_TASK_SCHEDULED", e.eventType)
      if e.eventType == "EVENT_TYPE_MARKER_RECORDED" then marker = e.markerRecordedEventAttributes.markerName end
    end
    assert.equal("core_local_activity", marker)
  end)
  it("may wait, in virtual time too: that stands still meanwhile", function()
    assert.same({ 5, true }, t.workflow("return nap(5)", {
      top = "local nap = ml.local_activity('nap', { timeout = '5s' }, function(n) ml.sleep(0.1) return { n, (ml.timeout('5s', function() ml.sleep(0.1) end)) } end)" }))
  end)
end)

describe("activity:async", function()
  it("gives a future at once", function()
    assert.same({ 2, 4 }, t.workflow("local a, b = double:async(1), double:async(2); return { a:await(), b:await() }", { top = acts }))
  end)
end)

describe("activity:with", function()
  it("changes the options of one call", function()
    local _, r = t.workflow("return double:with { timeout = '7s' } (1)", { top = acts, args = { "--id", "w1" }, history = "w1" })
    for _, e in ipairs(r.history.events) do
      if e.eventType == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED" then assert.equal("7s", e.activityTaskScheduledEventAttributes.startToCloseTimeout) end
    end
  end)
end)

describe("future:await", function()
  it("raises what the operation failed with", function()
    local v = t.workflow("local f = fails:async('x'); local ok, e = pcall(function() return f:await() end); return { ok, e.cause.message }", { top = acts })
    assert.same({ false, "x" }, v)
  end)
end)

describe("future:done", function()
  it("never waits", function()
    assert.same({ false, true }, t.workflow("local f = slow:async(1); local a = f:done(); f:await(); return { a, f:done() }", { top = acts }))
  end)
end)

describe("future:cancel", function()
  it("gives an ordinary failure at its await", function()
    local v = t.workflow [[
      local f = ml.spawn(function() ml.sleep("1d") end)
      ml.sleep("1s")
      f:cancel()
      local ok, e = pcall(f.await, f)
      return { ok, e.type, ml.cancel_requested() }]]
    assert.same({ false, "Canceled", false }, v)
  end)
end)

describe("ml.spawn", function()
  it("runs beside the main function and gives its results", function()
    assert.same({ 1, 2, 3 }, t.workflow [[
      local order = ml.list {}
      local f = ml.spawn(function(x) ml.sleep("1m"); order[#order + 1] = 2; return x end, 3)
      order[1] = 1
      local x = f:await()
      order[3] = x
      return order]])
  end)
end)

describe("ml.all", function()
  it("gives the results in order", function()
    assert.same({ 2, 3, "f" }, (t.workflow("local results, n = ml.all { double:async(1), slow:async(3), function() ml.sleep('1s') return 'f' end } return n == 3 and results",
      { top = acts })))
  end)
  it("cancels the siblings at the first failure and waits for them", function()
    local v = t.workflow([[
      local cleaned = false
      local ok, e = pcall(ml.all, {
        function() ml.sleep("1s"); ml.fail("first", { type = "First" }) end,
        function() local g <close> = setmetatable({}, { __close = function() cleaned = true end }); ml.sleep("1d") end })
      return { ok, e.type, cleaned }]])
    assert.same({ false, "First", true }, v)
  end)
end)

describe("ml.race", function()
  it("gives the winner and cancels the losers", function()
    local v = t.workflow [[
      local cleaned = false
      local i, x = ml.race {
        function() local g <close> = setmetatable({}, { __close = function() cleaned = true end }); ml.sleep("1d") end,
        function() ml.sleep("1s"); return "quick" end }
      return { i, x, cleaned }]]
    assert.same({ 2, "quick", true }, v)
  end)
end)

describe("ml.timeout", function()
  it("in an activity lets no virtual time pass while something is really under way", function()
    local v = t.activity([[
      local quick = ml.timeout("15s", function() ml.process.run { "sleep", "0.2" } end)
      local slow = ml.timeout("1h", function() ml.sleep("2h") end)
      return { quick = quick, slow = slow }]], { timeout_of_act = "3h" })
    assert.same({ quick = true, slow = false }, v)
  end)
  it("gives true and the results in time", function()
    assert.same({ true, 5 }, t.workflow "local ok, v = ml.timeout('1h', function() ml.sleep('1s') return 5 end) return { ok, v }")
  end)
  it("gives false and cancels at the time-out", function()
    assert.same({ false, true }, t.workflow [[
      local cleaned = false
      local ok = ml.timeout("1s", function() local g <close> = setmetatable({}, { __close = function() cleaned = true end }); ml.sleep("1h") end)
      return { ok, cleaned }]])
  end)
end)

describe("ml.shield", function()
  it("defers a cancellation until its body ended", function()
    local d = t.dir { ["s.lua"] = [[
      local ml = require "moonloop"
      ml.workflow("w", function()
        return ml.shield(function() ml.channel("go"):receive(); return "finished" end)
      end)]] }
    assert.equal(3, d:exec({ "run", "s.lua", "--clock", "virtual", "--id", "s" }).code)
    assert.equal(0, d:exec({ "cancel", "s" }).code)
    assert.equal(0, d:exec({ "signal", "s", "go" }).code)
    local r = d:exec { "run", "s.lua", "--id", "s" }
    assert.equal(0, r.code, r.err)
    assert.equal("finished", r.value)
    d:remove()
  end)
end)

describe("ml.saga", function()
  it("compensates in reverse order on failure", function()
    local v = t.workflow([[
      local order = ml.list {}
      local ok, e = pcall(ml.saga, function(s)
        s:compensate(function() order[#order + 1] = double(1) end)
        s:compensate(function() order[#order + 1] = double(2) end)
        fails("stop")
      end)
      return { ok, e.cause.message, order }]], { top = acts })
    assert.same({ false, "stop", { 4, 2 } }, v)
  end)
end)

describe("saga:compensate", function()
  it("does nothing when all went well, and runs when the run is cancelled", function()
    assert.same({ "fine", 0 }, t.workflow [[
      local n = 0
      local r = ml.saga(function(s) s:compensate(function() n = n + 1 end); return "fine" end)
      return { r, n }]])
    local d = t.dir { ["s.lua"] = [[
      local ml = require "moonloop"
      local undo = ml.activity("undo", { timeout = "5s" }, function(p) ml.fs.write(p, "undone") end)
      ml.workflow("w", function(path)
        ml.saga(function(s) s:compensate(function() undo(path) end); ml.channel("go"):receive() end)
      end)]] }
    local args = { "run", "s.lua", "--clock", "virtual", "--id", "s", "--input", '"' .. d.path .. '/undone"' }
    assert.equal(3, d:exec(args).code)
    assert.equal(0, d:exec({ "cancel", "s" }).code)
    assert.equal(4, d:exec(args).code)
    assert.equal("undone", d:read("undone"))
    d:remove()
  end)
end)

describe("ml.child", function()
  it("runs another workflow and gives its result", function()
    assert.equal(11, t.workflow("return ml.child('inner')(10)", { top = "ml.workflow('inner', function(n) return n + 1 end)", args = { "--workflow", "w" } }))
  end)
  it("fails as the child failed", function()
    local v = t.workflow("local ok, e = pcall(ml.child('inner')); return { ok, e.type, e.cause.message }",
      { top = "ml.workflow('inner', function() ml.fail('no') end)", args = { "--workflow", "w" } })
    assert.same({ false, "ChildWorkflowFailure", "no" }, v)
  end)
end)

describe("child:async", function()
  it("runs children beside each other", function()
    local v = t.workflow([[
      local a, b = ml.child("inner"):async(1), ml.child("inner"):async(2)
      return { a:await(), b:await() }]], { top = "ml.workflow('inner', function(n) ml.sleep('1h') return n * 10 end)", args = { "--workflow", "w" } })
    assert.same({ 10, 20 }, v)
  end)
end)

local waiter = "ml.workflow('inner', function() local _, v = ml.channel('go'):receive() return v end)"

describe("child:start", function()
  it("gives a handle with id and run id", function()
    local v = t.workflow([[
      local h = ml.child("inner", { id = "kid" }):start()
      h:signal("go", 1)
      return { h.id, #h.run_id, h:result() }]], { top = waiter, args = { "--workflow", "w" } })
    assert.same({ "kid", 36, 1 }, v)
  end)
end)

describe("handle:result", function()
  it("waits for the child's end", function()
    assert.equal("r", t.workflow("local h = ml.child('inner'):start(); h:signal('go', 'r'); return h:result()", { top = waiter, args = { "--workflow", "w" } }))
  end)
end)

describe("handle:signal", function()
  it("reaches the child", function()
    assert.equal(7, t.workflow("local h = ml.child('inner'):start(); ml.sleep('1m'); h:signal('go', 7); return h:result()", { top = waiter, args = { "--workflow", "w" } }))
  end)
end)

describe("handle:cancel", function()
  it("cancels the child", function()
    local v = t.workflow("local h = ml.child('inner'):start(); h:cancel(); local ok, e = pcall(h.result, h); return { ok, e.type, e.cause.type }",
      { top = waiter, args = { "--workflow", "w" } })
    assert.equal(false, v[1])
    assert.equal("ChildWorkflowFailure", v[2])
    assert.equal("Canceled", v[3])
  end)
end)

describe("a run that ends while answers to what it sent are on their way", function()
  it("is seen as ended by who waits for its result", function()
    for _ = 1, 8 do
      assert.equal(1, t.workflow([[
        local lost = ml.child("inner", { task_queue = "nobody", cancel = "abandon" }):start()
        lost:cancel()
        local function short(options)
          return function()
            local h = ml.child("inner", options):start()
            h:cancel()
          end
        end
        ml.all { short { cron = "0 0 1 1 *" }, short {}, short { parent_close = "abandon" } }
        return 1]], { top = waiter, args = { "--workflow", "w" } }))
    end
  end)
end)

describe("ml.external", function()
  it("names another run", function()
    local v = t.workflow("local ok, e = pcall(function() ml.external('nobody'):signal('x') end); return { ok, e.type ~= nil }")
    assert.same({ false, true }, v)
  end)
end)

describe("external:signal", function()
  it("sends a signal to another run", function()
    assert.equal(5, t.workflow([[
      local h = ml.child("inner", { id = "other" }):start()
      ml.external("other"):signal("go", 5)
      return h:result()]], { top = waiter, args = { "--workflow", "w" } }))
  end)
end)

describe("external:cancel", function()
  it("cancels another run", function()
    assert.equal(false, t.workflow([[
      local h = ml.child("inner", { id = "other" }):start()
      ml.external("other"):cancel()
      return (pcall(h.result, h))]], { top = waiter, args = { "--workflow", "w" } }))
  end)
end)

describe("ml.side_effect", function()
  it("runs once and is recorded", function()
    local v, r = t.workflow([[
      local a = ml.side_effect(function() return os.time() + math.random() end)
      ml.sleep("1s")
      return a]], { args = { "--id", "e" }, history = "e" })
    assert.is_number(v)
    local marker
    for _, e in ipairs(r.history.events) do
      if e.eventType == "EVENT_TYPE_MARKER_RECORDED" then marker = e.markerRecordedEventAttributes.markerName end
    end
    assert.equal("SideEffect", marker)
  end)
end)

describe("ml.uuid", function()
  it("gives ids that differ, the same on replay", function()
    local v = t.workflow "local a, b = ml.uuid(), ml.uuid(); return { a ~= b, #a }"
    assert.same({ true, 36 }, v)
  end)
end)

describe("ml.random", function()
  it("gives a stream of its own by name", function()
    local v = t.workflow [[
      local s = ml.random("dice")
      local a, b = s(6), s(1, 3)
      return { a >= 1 and a <= 6, b >= 1 and b <= 3, s() < 1 }]]
    assert.same({ true, true, true }, v)
  end)
end)

describe("random:uuid", function()
  it("draws ids from the stream of its name", function()
    local v = t.workflow [[
      local s = ml.random("ids")
      local a, b = s:uuid(), s:uuid()
      return { #a, a ~= b }]]
    assert.same({ 36, true }, v)
  end)
end)

describe("ml.patched", function()
  it("is true in a new run and leaves a marker", function()
    local v, r = t.workflow("return ml.patched('new-way')", { args = { "--id", "p" }, history = "p" })
    assert.equal(true, v)
    local marker
    for _, e in ipairs(r.history.events) do
      if e.eventType == "EVENT_TYPE_MARKER_RECORDED" then marker = e.markerRecordedEventAttributes.markerName end
    end
    assert.equal("core_patch", marker)
  end)
end)

describe("ml.deprecate_patch", function()
  it("leaves a deprecated marker", function()
    local _, r = t.workflow("ml.deprecate_patch('old-way') return 1", { args = { "--id", "p" }, history = "p" })
    local marker
    for _, e in ipairs(r.history.events) do
      if e.eventType == "EVENT_TYPE_MARKER_RECORDED" then marker = e.markerRecordedEventAttributes.markerName end
    end
    assert.equal("core_patch", marker)
  end)
end)

describe("ml.continue_as_new", function()
  it("goes on as a new run with new input; the result is the last one's", function()
    assert.equal(5, t.workflow("local n = input or 0; if n < 5 then ml.continue_as_new(n + 1) end return n"))
  end)
end)

describe("ml.info", function()
  it("tells about the run", function()
    local v = t.workflow("local i = ml.info(); return { i.workflow_id, i.workflow_type, i.attempt, i.history_length > 0, i.continue_as_new_suggested, i.task_queue }",
      { args = { "--id", "about" } })
    assert.same({ "about", "w", 1, true, false, "default" }, v)
  end)
end)

describe("ml.search_attributes", function()
  it("are written to the history and read back", function()
    local v, r = t.workflow("ml.search_attributes { CustomerId = 'c7' } return ml.search_attributes().CustomerId", { args = { "--id", "sa" }, history = "sa" })
    assert.equal("c7", v)
    local seen
    for _, e in ipairs(r.history.events) do seen = seen or e.eventType == "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES" end
    assert.is_true(seen)
  end)
end)

describe("ml.memo", function()
  it("is written to the history and read back", function()
    local v, r = t.workflow("ml.memo { note = 'n' } return ml.memo().note", { args = { "--id", "me" }, history = "me" })
    assert.equal("n", v)
    local seen
    for _, e in ipairs(r.history.events) do seen = seen or e.eventType == "EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED" end
    assert.is_true(seen)
  end)
end)

describe("ml.fail", function()
  it("fails the workflow with type and details", function()
    local r = t.run "ml.workflow('w', function() ml.fail('gone', { type = 'AssetMissing', details = { n = 1 } }) end)"
    assert.equal(1, r.code)
    assert.matches("AssetMissing", r.err)
    assert.matches("gone", r.err)
  end)
  it("takes a cause that is written down", function()
    local r = t.workflow([[local ok, e = pcall(act)
      return { e.cause.cause.type, e.cause.cause.message, e.cause.cause.cause.type, e.cause.cause.cause.message }]], { top = [[
      local act = ml.activity("act", { timeout = "5s", retry = { max_attempts = 1 } }, function()
        ml.fail("m", { cause = { type = "Inner", message = "inside", cause = { message = "no type" } } })
      end)]] })
    assert.same({ "Inner", "inside", "LuaError", "no type" }, r)
  end)
  it("can be caught as a table", function()
    assert.same({ "T", "m", true }, t.workflow "local ok, e = pcall(ml.fail, 'm', { type = 'T' }); return { e.type, e.message, e.retryable }")
  end)
end)

describe("a plain error", function()
  it("blocks the run; mended, the next run goes on", function()
    local d = t.dir { ["s.lua"] = [[
      local ml = require "moonloop"
      local step = ml.activity("step", { timeout = "5s" }, function(p) ml.fs.append(p, "x") return 1 end)
      ml.workflow("w", function(p)
        local n = step(p)
        return n + nothing.at_all
      end)]] }
    local args = { "run", "s.lua", "--clock", "virtual", "--id", "b", "--input", '"' .. d.path .. '/n"' }
    local r = d:exec(args)
    assert.equal(3, r.code)
    assert.matches("s.lua:5", r.err, 1, true)
    d:write("s.lua", (d:read("s.lua"):gsub("nothing.at_all", "41")))
    r = d:exec(args)
    assert.equal(0, r.code, r.err)
    assert.equal(42, r.value)
    assert.equal("x", d:read("n"))
    d:remove()
  end)
end)
