-- ml.client on the embedded engine: one describe per name of lua/api/client.lua. What only a Temporal server has says so here; that it
-- works there is tests/temporal/lua_test.py.
local t = require "support"

local other = [[
  ml.workflow("other", function(input)
    local n = input or 0
    ml.query("n", function(plus) return n + (plus or 0) end)
    ml.query("broken", function() ml.fail("no answer", { type = "Broken" }) end)
    ml.update("add", function(k)
      if k < 0 then ml.fail("not so", { type = "Negative" }) end
      n = n + k
      return n
    end)
    ml.update("slow", function(k)
      local was = n
      ml.await(function() return n > was end)
      return n + k
    end)
    ml.update("strict", function() end, { validator = function() ml.fail("never", { type = "Strict" }) end })
    ml.on_signal("more", function(k) n = n + k end)
    local stop = ml.channel("stop")
    local _, how = stop:receive()
    if how == "fail" then ml.fail("as told", { type = "Told" }) end
    return n
  end)
]]

-- What an activity returns that may use `start()`: a run of the workflow above.
local function asked(body, input)
  return t.activity([[
    local function start(options)
      options = options or {}
      options.input = options.input or 10
      return ml.client.start("other", options)
    end
]] .. body, { top = other, input = input, args = { "--workflow", "w" } })
end

describe("ml.client.start", function()
  it("starts a workflow with an input of 64 bits and a signal", function()
    local v = asked("local r = start { id = 'o', input = 9007199254740993, signal = 'stop' }; return { r.id, #r.run_id, r.existing, r:result() }")
    assert.same({ "o", 36, false, 9007199254740993 }, v)
  end)
  it("deals with an id that is taken as told", function()
    local v = asked([[
      local first = start { id = "o" }
      local ok, e = pcall(start, { id = "o" })
      local used = start { id = "o", on_open = "use_existing" }
      local other = start { id = "o", on_open = "terminate" }
      return { ok, e.type, used.run_id == first.run_id, used.existing, other.run_id == first.run_id }]])
    assert.same({ false, "Exists", true, true, false }, v)
  end)
  it("knows its options and the workflows there are", function()
    local v = asked([[
      local ok, e = pcall(ml.client.start, "other", { idd = 1 })
      local ok2, e2 = pcall(ml.client.start, "nothing_like_it")
      return { ok, tostring(e), ok2, e2.type }]])
    assert.matches("unknown option 'idd'", v[2])
    assert.same({ false, false, "NotFound" }, { v[1], v[3], v[4] })
  end)
end)

describe("ml.client.run", function()
  it("names a run without asking", function()
    assert.same({ "x", "y" }, asked("local r = ml.client.run('x', 'y'); return { r.id, r.run_id }"))
  end)
end)

describe("run:signal", function()
  it("sends a value", function()
    assert.equal(15, asked("local r = start(); r:signal('more', 5); r:signal('stop'); return r:result()"))
  end)
  it("fails for a run that is not there", function()
    assert.same({ false, "NotFound" }, asked("local ok, e = pcall(function() ml.client.run('no'):signal('x') end); return { ok, e.type }"))
  end)
end)

describe("run:query", function()
  it("answers, or fails with the query's failure", function()
    local v = asked("local r = start(); local ok, e = pcall(r.query, r, 'broken'); return { r:query('n', 2), ok, e.type, e.message }")
    assert.same({ 12, false, "Refused" }, { v[1], v[2], v[3] })
    assert.matches("no answer", v[4])
  end)
end)

describe("run:update", function()
  it("gives the result, or fails with the update's failure", function()
    local v = asked("local r = start(); local n = r:update('add', 7); local ok, e = pcall(r.update, r, 'add', -1); return { n, ok, e.type, e.cause.type, e.cause.message }")
    assert.same({ 17, false, "Refused", "Negative", "not so" }, v)
  end)
end)

describe("run:start_update", function()
  it("comes back when the update is accepted; its result comes later", function()
    local v = asked([[
      local r = start()
      local u = r:start_update("slow", 5)
      local before = r:query("n")
      r:signal("more", 1)
      local same = ml.client.run(r.id):get_update(u.id)
      return { #u.id, u.run_id == r.run_id, u.workflow_id == r.id, before, u:result(), same:result() }]])
    assert.same({ 36, true, true, 10, 16, 16 }, v)
  end)
  it("of an update that is rejected gives a handle that says so", function()
    assert.same({ false, "Refused", "Strict" }, asked("local r = start(); local u = r:start_update('strict'); local ok, e = pcall(u.result, u); return { ok, e.type, e.cause.type }"))
  end)
  it("fails for a run that is not there", function()
    assert.same({ false, "NotFound" }, asked("local ok, e = pcall(function() ml.client.run('no'):start_update('x') end); return { ok, e.type }"))
  end)
end)

describe("run:get_update", function()
  it("names an update without asking", function()
    assert.same({ "u", "x", "y" }, asked("local u = ml.client.run('x', 'y'):get_update('u'); return { u.id, u.workflow_id, u.run_id }"))
  end)
end)

describe("update:result", function()
  it("gives the outcome also when the run has ended, and the failure", function()
    local v = asked([[
      local r = start()
      local good, bad = r:start_update("add", 1), r:start_update("add", -1)
      r:signal("stop")
      r:result()
      local ok, e = pcall(bad.result, bad)
      return { good:result(), ok, e.type, e.cause.type }]])
    assert.same({ 11, false, "Refused", "Negative" }, v)
  end)
  it("fails for an update that is not there", function()
    local v = asked([[
      local r = start()
      local u = r:get_update("none")
      local ok, e = pcall(u.result, u)
      r:signal("stop")
      r:result()
      local ok2, e2 = pcall(u.result, u)
      return { ok, e.type, tostring(e), ok2, e2.type }]])
    assert.same({ false, "NotFound" }, { v[1], v[2] })
    assert.matches("no update with the id none", v[3])
    assert.same({ false, "NotFound" }, { v[4], v[5] })
  end)
end)

describe("run:result", function()
  it("waits for the end: a value or the failure", function()
    local v = asked([[
      local good, bad = start(), start()
      good:signal("stop")
      bad:signal("stop", "fail")
      local ok, e = pcall(bad.result, bad)
      return { good:result(), ok, e.type, e.cause.type, e.cause.message }]])
    assert.same({ 10, false, "WorkflowFailed", "Told", "as told" }, v)
  end)
end)

describe("run:describe", function()
  it("tells status, type and id", function()
    local v = asked("local r = start { id = 'o' }; local d = r:describe(); return { d.workflowId, d.type, d.status, d.runId == r.run_id }")
    assert.same({ "o", "other", "Running", true }, v)
  end)
end)

describe("run:history", function()
  it("has the events", function()
    local v = asked("local r = start(); r:signal('stop'); r:result(); local e = r:history().events; return { e[1].eventType, e[#e].eventType }")
    assert.same({ "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED" }, v)
  end)
end)

describe("run:cancel", function()
  it("asks the run to stop", function()
    assert.same({ false, "WorkflowCanceled" }, asked("local r = start(); r:cancel('enough'); local ok, e = pcall(r.result, r); return { ok, e.type }"))
  end)
end)

describe("run:terminate", function()
  it("ends the run", function()
    assert.same({ "WorkflowTerminated", "enough" }, asked("local r = start(); r:terminate('enough'); local ok, e = pcall(r.result, r); return { e.type, e.cause.message }"))
  end)
end)

describe("run:reset", function()
  it("goes on from an earlier point under a new run id", function()
    local v = asked([[
      local r = start()
      r:signal("more", 1)
      r:query("n")
      local event
      for _, e in ipairs(r:history().events) do
        if e.eventType == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED" then event = event or math.tointeger(e.eventId) end
      end
      local new = r:reset(event, "again")
      new:signal("stop")
      return { new.run_id ~= r.run_id, new:result() }]])
    assert.same({ true, 11 }, v)
  end)
  it("takes the id of an event", function()
    assert.matches("id of an event", asked("local _, e = pcall(function() ml.client.run('x'):reset('3') end); return tostring(e)"))
  end)
end)

describe("run:delete", function()
  it("removes the run", function()
    assert.same({ false, "NotFound" }, asked("local r = start(); r:delete(); local ok, e = pcall(r.describe, r); return { ok, e.type }"))
  end)
end)

describe("ml.client.list", function()
  it("lists by status, type and id", function()
    local v = asked([[
      local a = start { id = "a-1" }
      start { id = "a-2" }
      start { id = "b-1" }
      a:signal("stop")
      a:result()
      local out = {}
      for _, r in ipairs(ml.client.list { id_prefix = "a-", status = "Running", type = "other" }) do out[#out + 1] = r.workflowId end
      return out]])
    assert.same({ "a-2" }, v)
  end)
  it("goes on where the page before ended", function()
    local v = asked([[
      for i = 1, 5 do start { id = "p-" .. i } end
      local out, page, calls = {}, nil, 0
      repeat
        local list
        list, page = ml.client.list { id_prefix = "p-", limit = 2, page = page }
        for _, r in ipairs(list) do out[#out + 1] = r.workflowId end
        calls = calls + 1
      until not page
      return { table.concat(out, " "), calls }]])
    assert.same({ "p-5 p-4 p-3 p-2 p-1", 3 }, v)
  end)
  it("leaves queries to servers", function()
    assert.equal("Unsupported", asked("local _, e = pcall(ml.client.list, { query = 'x' }); return e.type"))
  end)
end)

describe("ml.client.count", function()
  it("counts by status", function()
    local v = asked("start { id = 'a-1' }; start { id = 'a-2' }; return ml.client.count { id_prefix = 'a-' }")
    assert.same({ count = 2, blocked = 0, byStatus = { Running = 2 } }, v)
  end)
end)

describe("ml.client.complete_activity", function()
  local top = other .. [[
    local ask = ml.activity("ask", { timeout = "1h", id = "the-one", retry = { max_attempts = 1 } }, function() ml.complete_later() end)
    ml.workflow("asks", function() return ask() end)
  ]]
  local body = [[
    local r = ml.client.start("asks", { id = "asks" })
    local done
    for _ = 1, 200 do
      done = pcall(ml.client.complete_activity, { id = "asks", activity = "the-one", %s })
      if done then break end
      ml.sleep("20ms")
    end
    local ok, e = pcall(r.result, r)
    return { done, ok, ok and e or e.cause.cause.message }]]
  it("completes", function()
    assert.same({ true, true, 7 }, t.activity(body:format("value = 7"), { top = top, clock = "real", args = { "--workflow", "w" } }))
  end)
  it("fails", function()
    assert.same({ true, false, "no" }, t.activity(body:format("failure = { type = 'No', message = 'no', retryable = false }"),
      { top = top, clock = "real", args = { "--workflow", "w" } }))
  end)
end)

describe("ml.client.heartbeat_activity", function()
  local top = other .. [[
    local ask = ml.activity("ask", { timeout = "1h", id = "the-one", heartbeat = "10m", cancel = "wait", retry = { max_attempts = 2, initial = "10ms" } }, function()
      local before = ml.info().heartbeat_details
      if before then return before end
      ml.complete_later()
    end)
    ml.workflow("asks", function() return ask() end)
  ]]
  it("keeps what the next attempt is told, and says when it shall stop", function()
    local v = t.activity([[
      local r = ml.client.start("asks", { id = "asks" })
      local beat, why = { id = "asks", activity = "the-one", details = { at = 7 } }
      for _ = 1, 200 do
        local ok, e = pcall(ml.client.heartbeat_activity, beat)
        why = e
        if ok then break end
        ml.sleep("20ms")
      end
      r:cancel()
      local stop
      for _ = 1, 200 do
        stop = ml.client.heartbeat_activity(beat)
        if stop then break end
        ml.sleep("20ms")
      end
      ml.client.complete_activity { id = "asks", activity = "the-one", failure = { type = "Again", message = "x" } }
      local _, e = pcall(ml.client.heartbeat_activity, { id = "none", activity = "the-one" })
      return { why == nil, stop, e.type }]], { top = top, clock = "real", args = { "--workflow", "w" } })
    assert.same({ true, "canceled", "NotFound" }, v)
  end)
  it("is there for the next attempt", function()
    local v = t.activity([[
      local r = ml.client.start("asks", { id = "asks" })
      for _ = 1, 200 do
        if pcall(ml.client.heartbeat_activity, { id = "asks", activity = "the-one", details = { at = 7 } }) then break end
        ml.sleep("20ms")
      end
      ml.client.complete_activity { id = "asks", activity = "the-one", failure = { type = "Again", message = "x" } }
      return r:result()]], { top = top, clock = "real", args = { "--workflow", "w" } })
    assert.same({ at = 7 }, v)
  end)
end)

-- What the embedded engine does not have says which call and why.
local server_only = {
  ["ml.client.update_with_start"] = "ml.client.update_with_start('other', { id = 'u' }, 'add', 1)",
  ["ml.client.schedule"] = "ml.client.schedule('s', { workflow = 'other', every = '1h' })",
  ["ml.client.schedules"] = "ml.client.schedules()",
  ["schedule:describe"] = "ml.client.schedule('s'):describe()",
  ["schedule:update"] = "ml.client.schedule('s'):update { note = 'x' }",
  ["schedule:pause"] = "ml.client.schedule('s'):pause('x')",
  ["schedule:unpause"] = "ml.client.schedule('s'):unpause()",
  ["schedule:trigger"] = "ml.client.schedule('s'):trigger { overlap = 'skip' }",
  ["schedule:backfill"] = "ml.client.schedule('s'):backfill('2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z')",
  ["schedule:delete"] = "ml.client.schedule('s'):delete()",
  ["ml.client.deployments"] = "ml.client.deployments()",
  ["ml.client.deployment"] = "ml.client.deployment('d')",
  ["ml.client.set_current_version"] = "ml.client.set_current_version('d', 'b')",
  ["ml.client.namespace"] = "ml.client.namespace()",
  ["ml.client.search_attributes"] = "ml.client.search_attributes()",
  ["ml.client.add_search_attribute"] = "ml.client.add_search_attribute('A', 'Int')",
}
local function unsupported(name)
  local v = asked("local ok, e = pcall(function() " .. server_only[name] .. " end); return { ok, ok or e.type, ok or e.message }")
  assert.same({ false, "Unsupported" }, { v[1], v[2] })
  assert.matches(name, v[3], 1, true)
  assert.matches("Temporal server", v[3])
end

describe("ml.client.update_with_start", function() it("needs a server", function() unsupported("ml.client.update_with_start") end) end)
describe("ml.client.schedule", function() it("needs a server", function() unsupported("ml.client.schedule") end) end)
describe("ml.client.schedules", function() it("needs a server", function() unsupported("ml.client.schedules") end) end)
describe("schedule:describe", function() it("needs a server", function() unsupported("schedule:describe") end) end)
describe("schedule:update", function() it("needs a server", function() unsupported("schedule:update") end) end)
describe("schedule:pause", function() it("needs a server", function() unsupported("schedule:pause") end) end)
describe("schedule:unpause", function() it("needs a server", function() unsupported("schedule:unpause") end) end)
describe("schedule:trigger", function() it("needs a server", function() unsupported("schedule:trigger") end) end)
describe("schedule:backfill", function() it("needs a server", function() unsupported("schedule:backfill") end) end)
describe("schedule:delete", function() it("needs a server", function() unsupported("schedule:delete") end) end)
describe("ml.client.deployments", function() it("needs a server", function() unsupported("ml.client.deployments") end) end)
describe("ml.client.deployment", function() it("needs a server", function() unsupported("ml.client.deployment") end) end)
describe("ml.client.set_current_version", function() it("needs a server", function() unsupported("ml.client.set_current_version") end) end)
describe("ml.client.namespace", function() it("needs a server", function() unsupported("ml.client.namespace") end) end)
describe("ml.client.search_attributes", function() it("needs a server", function() unsupported("ml.client.search_attributes") end) end)
describe("ml.client.add_search_attribute", function() it("needs a server", function() unsupported("ml.client.add_search_attribute") end) end)
