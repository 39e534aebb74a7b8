-- ml.approve and tools that need approval: a pending item bound to its arguments, decided by a person, or by nobody in time.
local t = require "support"

local top = [[
  local notify = ml.activity("notify", { timeout = "5s" }, function(item) ml.log.info("told", { id = item.id, reminder = item.reminder }) end)
  local publish = ml.tool { name = "publish", input = ml.schema { text = "string" }, approval = true, run = function(args) return "published " .. args.text end }
]]

local function open(body)
  local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. top .. "ml.workflow('w', function(input)\n" .. body .. "\nend)" }
  local o = { d = d }
  function o.run() return d:exec { "run", "s.lua", "--workflow", "w", "--id", "x", "--clock", "virtual" } end
  function o.items() return d:exec({ "query", "x", "moonloop.approvals" }).value end
  function o.decide(text) return d:exec { "signal", "x", "moonloop.decide", text } end
  return o
end

describe("ml.approve", function()
  it("waits for a decision that names the digest of what was looked at", function()
    local o = open "return ml.approve { name = 'refund', text = 'Refund 7', args = { amount = 120 } }"
    local r = o.run()
    assert.equal(3, r.code, r.err)
    local item = o.items()[1]
    assert.equal("1", item.id)
    assert.equal("refund", item.name)
    assert.same({ amount = 120 }, item.args)
    assert.equal(64, #item.digest)
    o.decide '{"id":"1","decision":"approve"}' -- without it
    o.decide('{"id":"1","decision":"approve","digest":"' .. ("0"):rep(64) .. '"}')
    o.decide '{"id":"9","decision":"reject"}'
    r = o.run()
    assert.equal(3, r.code, r.out .. r.err)
    assert.matches("an approval names the digest of what was looked at", r.err)
    assert.matches("the digest is of other arguments than those that wait", r.err)
    assert.matches('no pending item "9"', r.err)
    o.decide('{"id":"1","decision":"approve","by":"Ada","digest":"' .. item.digest .. '"}')
    r = o.run()
    assert.equal(0, r.code, r.err)
    assert.is_true(r.value.approved)
    assert.equal("Ada", r.value.by)
    assert.same({ amount = 120 }, r.value.args)
    o.d:remove()
  end)
  it("takes what holds when nobody decides in time, after a reminder", function()
    local o = open [[
      local t0 = ml.now()
      local no = ml.approve { name = "a", deadline = "2d", remind = "1d", notify = notify }
      local yes = ml.approve { name = "b", deadline = "1h", remind = "2h", default = "approve", notify = notify }
      return { no = no, yes = yes, hours = ml.time.diff(ml.now(), t0) / 3600 // 1 }]]
    local r = o.run()
    assert.equal(0, r.code, r.err)
    assert.is_false(r.value.no.approved)
    assert.is_true(r.value.no.expired)
    assert.equal("nobody decided in time", r.value.no.reason)
    assert.is_true(r.value.yes.approved)
    assert.is_true(r.value.yes.expired)
    assert.equal(49, r.value.hours)
    local _, told = r.err:gsub("told", "")
    assert.equal(3, told)
    o.d:remove()
  end)
  it("holds a tool's call until it may be made, with arguments that a person changed", function()
    local o = open [[
      local ok, e = pcall(publish, { text = "one" })
      return { ok, e.type, e.message, publish { text = "two" } }]]
    assert.equal(3, o.run().code)
    local item = o.items()[1]
    assert.equal("tool", item.kind)
    assert.equal("publish", item.name)
    o.decide '{"id":"1","decision":"reject","reason":"not today"}'
    assert.equal(3, o.run().code)
    o.decide '{"id":"2","decision":"edit","args":{"txt":"three"}}'
  assert.matches("the edited arguments break the schema: .*text", o.run().err)
  o.decide '{"id":"2","decision":"edit","args":{"text":"three"}}'
    local r = o.run()
    assert.equal(0, r.code, r.err)
    assert.same({ false, "Rejected", "publish was rejected: not today", "published three" }, r.value)
    local h = o.d:exec { "show", "x", "--json" }
    o.d:write("h.json", h.out)
    assert.equal(0, o.d:exec({ "replay", "h.json", "s.lua" }).code)
    local _, calls = h.out:gsub('"name": ?"publish"', "")
    assert.equal(1, calls) -- what was rejected never ran, and nothing ran twice
    o.d:remove()
  end)
  it("is no part of a live call", function()
    local v = t.activity("local ok, e = pcall(publish, { text = 'x' }) return { ok, e.type }", { top = top })
    assert.same({ false, "ApprovalNeeded" }, v)
  end)
  it("ends with its run", function()
    local o = open "return ml.approve { name = 'x' }"
    assert.equal(3, o.run().code)
    assert.equal(0, o.d:exec({ "cancel", "x" }).code)
    assert.equal(4, o.run().code)
    o.d:remove()
  end)
  it("refuses what it does not know", function()
    local r = t.run "ml.workflow('w', function() ml.approve { nam = 'x' } end)"
    assert.matches("unknown option 'nam' %(did you mean 'name'%?%)", r.err)
  end)
end)

describe("moonloop approvals", function()
  local two = [[
    local a, b = publish:async { text = "one" }, publish:async { text = "two" }
    local function got(f) local ok, e = pcall(f.await, f) return ok and e or e.type .. ": " .. e.message end
    return { got(a), got(b) }]]

  it("lists what waits, and takes decisions, also while nothing runs", function()
    local o = open(two)
    assert.equal(3, o.run().code)
    local r = o.d:exec { "approvals" }
    assert.equal(0, r.code, r.err)
    assert.matches("x#1 +tool +publish +{\"text\":\"one\"}", r.out)
    local list = o.d:exec({ "approvals", "list", "--json" }).value
    assert.equal(2, #list)
    assert.equal("x#2", list[2].id)
    assert.equal("x", list[2].workflowId)
    assert.same({ text = "two" }, list[2].args)
    assert.matches("x waits for 2 decisions: name one as x#N", o.d:exec({ "approvals", "approve", "x" }).err)
    r = o.d:exec { "approvals", "approve", "x#1", "--digest", ("0"):rep(64) }
    assert.equal(1, r.code)
    assert.matches("look again", r.err)
    assert.equal(0, o.d:exec({ "approvals", "approve", "x#1", "--digest", list[1].digest }).code)
    r = o.d:exec { "approvals", "reject", "x#2", "--reason", "too dear", "--by", "Ada", "--json" }
    assert.equal(0, r.code, r.err)
    assert.is_true(r.value.ok)
    r = o.run()
    assert.equal(0, r.code, r.err)
    assert.same({ "published one", "Rejected: publish was rejected: too dear" }, r.value)
    o.d:remove()
  end)
  it("edits the arguments of the one that waits", function()
    local o = open "return publish { text = 'one' }"
    o.run()
    local r = o.d:exec { "approvals", "edit", "x", '{"text":"three"}' }
    assert.equal(0, r.code, r.err)
    assert.equal('"published three"\n', o.run().out)
    r = o.d:exec { "approvals", "approve", "x" }
    assert.equal(1, r.code)
    assert.matches("waits for no decision", r.err)
    o.d:remove()
  end)
  it("says what is wrong with a call of it", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\nml.workflow("w", function() ml.channel("go"):receive() end)' }
    local function says(code, pattern, ...)
      local r = d:exec { "approvals", ... }
      assert.equal(code, r.code, r.err)
      assert.matches(pattern, r.err)
    end
    d:exec { "run", "s.lua", "--id", "x", "--clock", "virtual" }
    says(0, "nothing waits for a decision")
    says(2, "'aprove' is none of list, approve, reject, edit", "aprove", "x")
    says(2, "approve takes an ID", "approve")
    says(2, "edit takes an ID and the new arguments", "edit", "x")
    says(2, "the new arguments", "edit", "x", "{broken")
    says(1, "x waits for no decision", "approve", "x")
    says(2, "no workflow", "approve", "nobody")
    d:remove()
  end)
end)
