-- The boundary from Lua: durable tools, rows, what a handler returns, and who it acts for.
local t = require "support"

local top = [[
  ml.workflow("publish", function(post)
    if post.wait then ml.channel("go"):receive() end
    if post.fail then ml.fail("refused", { type = "Refused", retryable = false }) end
    return { published = post.id }
  end)
  local schedule = ml.tool { name = "schedule", mode = "durable", scope = "posts:write", rate = "3/h", cost = 5,
    input = ml.schema { caption = "string<=20", wait = "boolean?" },
    run = function(args, call)
      local post = call.db:insert("posts", args)
      return ml.accept { workflow = "publish", id = "publish:" .. post.id, entity = post.id, input = post, status = "scheduled", message = "later" }
    end }
]]

local function with(fn)
  local d = t.dir {}
  local ok, e = pcall(fn, d)
  d:remove()
  if not ok then error(e, 0) end
end

-- Runs body in an activity of a script in the folder; what it returns. `to(args, context)` calls the tool and never raises.
local function act(d, body, input)
  d:write("s.lua", 'local ml = require "moonloop"\n' .. top .. [[
  local boundary = setmetatable({}, { __index = function(_, key) local name = "moonloop.boundary" return require(name)[key] end })
  local function to(args, context)
    local ok, e = pcall(boundary.call, schedule, args, context)
    if ok then return e end
    return { failed = e.type or tostring(e), message = e.message, retryable = e.retryable, retry_after = e.retry_after }
  end
  local act = ml.activity("act", { timeout = "30s", retry = { max_attempts = 1 } }, function(input)
]] .. body .. "\nend)\nml.workflow('w', function(input) return act(input) end)\n")
  local r = d:exec { "run", "s.lua", "--workflow", "w", "--input", input or "null", "--wait-all" }
  if r.code ~= 0 then error(r.out .. r.err, 2) end
  return r.value
end

local function token(d, ...)
  return d:exec({ "token", "create", "--json", ... }).value
end

describe("ml.accept", function()
  it("commits row, audit and start together, and answers what was accepted", function()
    with(function(d)
      local v = act(d, "return { to { caption = 'hi' } }")[1]
      assert.same({ "scheduled", "later", "publish:" .. v.entityId }, { v.status, v.message, v.workflowId })
      local row = act(d, "return { ml.db:get('posts', input) }", '"' .. v.entityId .. '"')
      assert.same({ { id = v.entityId, caption = "hi" }, 1 }, row)
      assert.same({ published = v.entityId }, d:exec({ "result", v.workflowId }).value)
      local audit = d:exec({ "audit", "list", "--json" }).value
      assert.same({ "accept", v.workflowId, "local", "tool schedule" }, { audit[1].action, audit[1].subject, audit[1].principal, audit[1].detail.route })
    end)
  end)
  it("keeps rate, credits and scope of the token that calls", function()
    with(function(d)
      local good, poor, other = token(d, "--scope", "posts:write", "--credits", "13"), token(d, "--scope", "posts:write", "--credits", "4"),
        token(d, "--scope", "chat", "--credits", "100")
      local v = act(d, ([[
        local good, poor, other = { authorization = "Bearer %s" }, { authorization = "Bearer %s" }, { authorization = "Bearer %s" }
        local out = { to({ caption = "a", wait = true }, good), to({ caption = "b" }, poor), to({ caption = "c" }, other), to({ caption = "d" }, { authorization = "Bearer ml_x_y" }),
          to({ caption = "e" }, {}), to({ caption = "f", wait = true }, good), to({ caption = "g" }, good), to({ caption = "h" }, good) }
        for _, o in ipairs(out) do if o.workflowId then ml.client.run(o.workflowId):signal("go") end end
        return out]]):format(good.token, poor.token, other.token))
      local function kind(i) return v[i].failed or v[i].status end
      assert.same({ "scheduled", "OutOfCredit", "Forbidden", "Unauthorized", "Unauthorized", "scheduled", "OutOfCredit", "RateLimited" },
        { kind(1), kind(2), kind(3), kind(4), kind(5), kind(6), kind(7), kind(8) })
      assert.matches('the scope "posts:write" is needed', v[3].message)
      assert.is_true(v[8].retryable and v[8].retry_after > 1000)
      local list = d:exec({ "token", "list", "--json" }).value
      local left = {}
      for _, k in ipairs(list) do left[k.id] = { k.credits, k.held } end
      assert.same({ { 3, 0 }, { 4, 0 } }, { left[good.id], left[poor.id] })
      assert.equal(0, d:exec({ "audit", "verify" }).code)
    end)
  end)
  it("accepts once for a key, with the same answer", function()
    with(function(d)
      local k = token(d, "--scope", "posts:write", "--credits", "100").token
      local v = act(d, ([[
        local function call(key, caption) return function() return boundary.answer(schedule, { caption = caption }, { authorization = "Bearer %s", key = key }) end end
        local out = ml.all { call("k", "a"), call("k", "a"), call("k", "a"), call("k", "b"), call("m", "a") }
        local texts = {}
        for i, o in ipairs(out) do texts[i] = { o.status, o.body, o.replayed } end
        return texts]]):format(k))
      assert.same({ 202, 202, 202, 409, 202 }, { v[1][1], v[2][1], v[3][1], v[4][1], v[5][1] })
      assert.equal(v[1][2], v[2][2])
      assert.equal(v[1][2], v[3][2])
      assert.not_equal(v[1][2], v[5][2])
      assert.same({ false, true, true }, { v[1][3], v[2][3], v[3][3] })
      assert.matches("idempotency%-key%-reused", v[4][2])
      assert.equal(3, d:exec({ "count", "--json" }).value.count) -- w and two of publish
    end)
  end)
  it("tells what it cannot start, and nothing is written", function()
    local r = t.run(top .. [[
      local bad = ml.tool { name = "bad", mode = "durable", run = function(_, call)
        call.db:insert("posts", { id = "p" })
        return ml.accept { workflow = "nothing" }
      end }
      local act = ml.activity("act", { timeout = "30s", retry = { max_attempts = 1 } }, function()
        local ok, e = pcall(bad, {})
        return { ok, e.type, e.message, ml.db:get("posts", "p") }
      end)
      ml.workflow("w", function() return act() end)]], { args = { "--workflow", "w" } })
    assert.equal(0, r.code, r.err)
    assert.same({ false, "ToolFailed" }, { r.value[1], r.value[2] })
    assert.matches("no workflow 'nothing'", r.value[3])
    assert.is_nil(r.value[4])
  end)
  it("refuses arguments that do not fit, by field and rule", function()
    with(function(d)
      local v = act(d, [[
        local a = boundary.answer(schedule, { caption = ("x"):rep(21), more = 1 })
        return { a.status, ml.json.decode(a.body), a.errors }]])
      assert.equal(422, v[1])
      assert.equal("urn:moonloop:problem:invalid-body", v[2].type)
      local rules = {}
      for _, e in ipairs(v[2].errors) do rules[e.pointer] = e.rule end
      assert.equal("maxLength", rules["/caption"])
    end)
  end)
  it("acts for the run's principal in its activities, once in all attempts", function()
    with(function(d)
      local k = token(d, "--scope", "posts:write,loop", "--credits", "100")
      d:write("s.lua", 'local ml = require "moonloop"\n' .. top .. ([[
        local name = "moonloop.boundary"
        local loop = ml.tool { name = "loop", mode = "durable", scope = "loop", run = function() return ml.accept { workflow = "loop", id = "the-loop" } end }
        ml.workflow("loop", function()
          local a = schedule { caption = "from the loop" }
          return a.workflowId
        end)
        local act = ml.activity("act", { timeout = "30s", retry = { max_attempts = 1 } }, function()
          require(name).call(loop, {}, { authorization = "Bearer %s" })
        end)
        ml.workflow("w", function() act() end)]]):format(k.token))
      local r = d:exec { "run", "s.lua", "--workflow", "w", "--wait-all" }
      assert.equal(0, r.code, r.err)
      local audit = d:exec({ "audit", "list", "--json" }).value
      assert.same({ "key:" .. k.id, "key:" .. k.id }, { audit[2].principal, audit[3].principal })
      assert.equal(d:exec({ "result", "the-loop" }).value, audit[3].subject)
      assert.is_string(audit[3].detail.key)
      assert.equal(95, d:exec({ "token", "list", "--json" }).value[1].credits)
    end)
  end)
end)

describe("ml.commit", function()
  it("keeps what was written without a run; a handler that forgets it is told", function()
    local v = t.activity([[
      local boundary = require(name)
      local a = boundary.pass({ route = "r" }, function(args, call)
        local row = call.db:insert("notes", { text = "x" })
        return ml.commit { status = 201, body = row }
      end, {})
      local b = boundary.pass({ route = "r" }, function(args, call) call.db:insert("notes", { id = "lost" }) return 5 end, {})
      return { a.status, ml.json.decode(a.body).text, b.status, b.type, #ml.db:query("notes") }]], { top = "local name = 'moonloop.boundary'" })
    assert.same({ 201, "x", 500, "internal", 1 }, v)
  end)
end)

describe("db:insert", function()
  it("makes the id, and writes with the activity's completion", function()
    local v = t.workflow([[
      local first = put({ text = "a", n = 9007199254740993, list = { 1, 2 } })
      return { first.seen, get(first.id) }]], { top = [[
      local put = ml.activity("put", { timeout = "30s" }, function(row)
        local new = ml.db:insert("notes", row)
        return { id = new.id, seen = ml.db:get("notes", new.id) == nil }
      end)
      local get = ml.activity("get", { timeout = "30s" }, function(id) return ml.db:get("notes", id) end)]] })
    assert.is_true(v[1])
    assert.matches("^%x+%-%x+%-7", v[2].id)
    assert.same({ "a", 9007199254740993, { 1, 2 } }, { v[2].text, v[2].n, v[2].list })
  end)
  it("writes nothing when the activity fails, and fails it when the row is there", function()
    local v = t.workflow([[
      pcall(put, "a", true)
      local before = get("a")
      put("a")
      local ok, e = pcall(put, "a")
      return { before == nil, ok, e.cause.type, e.cause.retryable, get("a").n }]], { top = [[
      local put = ml.activity("put", { timeout = "30s", retry = { max_attempts = 1 } }, function(id, fail)
        ml.db:insert("notes", { id = id, n = 1 })
        if fail then error("no") end
      end)
      local get = ml.activity("get", { timeout = "30s" }, function(id) return ml.db:get("notes", id) end)]] })
    assert.same({ true, false, "Conflict", false, 1 }, v)
  end)
  it("takes names and rows only, and belongs to an activity's end", function()
    local v = t.activity([[
      local function why(...) local _, e = pcall(...) return tostring(e) end
      return { why(ml.db.insert, ml.db, "no table", {}), why(ml.db.insert, ml.db, "t", { 1 }), why(ml.db.insert, ml.db, "t", { ["a b"] = 1 }) }]])
    assert.matches("the table is a letter or _", v[1])
    assert.matches("a row is a table with names", v[2])
    assert.matches("a field is a letter or _", v[3])
    local r = t.program_output("ml.db:insert('t', {})")
    assert.matches("ml.db writes with the end of an activity", r.err)
  end)
end)

local kept = [[
  local put = ml.activity("put", { timeout = "30s", retry = { max_attempts = 1 } }, function(id, row) row.id = id ml.db:insert("notes", row) end)
  local get = ml.activity("get", { timeout = "30s" }, function(id) local row, version = ml.db:get("notes", id) return { row = row, version = version } end)
  local change = ml.activity("change", { timeout = "30s", retry = { max_attempts = 1 } }, function(id, row, version) ml.db:update("notes", id, row, { version = version }) end)
  local drop = ml.activity("drop", { timeout = "30s", retry = { max_attempts = 1 } }, function(id, version) ml.db:delete("notes", id, { version = version }) end)
]]

describe("db:update", function()
  it("changes fields of the version that is named", function()
    local v = t.workflow([[
      put("a", { n = 1, s = "x" })
      change("a", { n = 2, s = ml.null }, 1)
      local ok, e = pcall(change, "a", { n = 3 }, 1)
      change("a", { m = 4 })
      return { get("a"), ok, e.cause.type, (pcall(change, "nobody", { n = 1 })) }]], { top = kept })
    assert.same({ { row = { id = "a", n = 2, m = 4 }, version = 3 }, false, "Conflict", false }, v)
  end)
end)

describe("db:delete", function()
  it("deletes the version that is named", function()
    local v = t.workflow([[
      put("a", { n = 1 })
      local ok = pcall(drop, "a", 7)
      drop("a", 1)
      return { ok, get("a").row == nil, (pcall(drop, "a")) }]], { top = kept })
    assert.same({ false, true, false }, v)
  end)
end)

describe("db:get", function()
  it("gives the committed row and its version", function()
    local v = t.workflow("put('a', { n = 1 }) return { get('a'), get('b').row == nil }", { top = kept })
    assert.same({ { row = { id = "a", n = 1 }, version = 1 }, true }, v)
  end)
end)

describe("db:query", function()
  it("finds rows by fields, in an order", function()
    local v = t.workflow([[
      for i = 1, 5 do put("r" .. i, { n = i, odd = i % 2 == 1, s = "v" .. i }) end
      return find()]], { top = kept .. [[
      local find = ml.activity("find", { timeout = "30s" }, function()
        local function ids(options)
          local out = {}
          for i, row in ipairs(ml.db:query("notes", options)) do out[i] = row.id end
          return table.concat(out, " ")
        end
        local function why(options) local _, e = pcall(ml.db.query, ml.db, "notes", options) return tostring(e) end
        return { ids(), ids { where = { odd = true } }, ids { where = { n = { ">", 2 }, odd = false } }, ids { order = "n", desc = true, limit = 2 }, ids { after = "r3" },
          ids { where = { s = "v3" } }, ids { where = { none = ml.null }, limit = 1 }, #ml.db:query("others"),
          why { where = { n = { "LIKE", 1 } } }, why { where = { ["n'"] = 1 } } }
      end)]] })
    assert.same({ "r1 r2 r3 r4 r5", "r1 r3 r5", "r4", "r5 r4", "r4 r5", "r3", "r1", 0 }, { table.unpack(v, 1, 8) })
    assert.matches("a condition is a value, or", v[9])
    assert.matches("a field is a letter or _", v[10])
  end)
end)

describe("ml.migrate", function()
  it("declares what is unique", function()
    local v = t.workflow([[
      put("a", { slug = "x", day = 1 })
      put("b", { slug = "y", day = 1 })
      local same = pcall(put, "c", { slug = "x", day = 2 })
      local moved = pcall(change, "b", { slug = "x" })
      change("a", { slug = "z" })
      change("b", { slug = "x" })
      drop("a")
      put("d", { slug = "z" })
      put("e", { day = 1 })
      put("f", { day = 1 })
      return { same, moved }]], { top = kept .. "ml.migrate { notes = { unique = { 'slug', { 'slug', 'day' } } } }" })
    assert.same({ false, false }, v)
  end)
  it("refuses rows that break it, and names that are none", function()
    with(function(d)
      d:write("a.lua", 'local ml = require "moonloop"\n' .. kept .. "ml.workflow('w', function() put('a', { s = 1 }) put('b', { s = 1 }) end)")
      assert.equal(0, d:exec({ "run", "a.lua" }).code)
      d:write("b.lua", 'local ml = require "moonloop"\n' .. kept .. "ml.migrate { notes = { unique = { 's' } } }\nml.workflow('w2', function() return get('a') end)")
      local r = d:exec({ "run", "b.lua" })
      assert.not_equal(0, r.code)
      assert.matches("UNIQUE constraint failed", r.err)
    end)
    local r = t.run("ml.migrate { ['no name'] = {} }\nml.workflow('w', function() end)")
    assert.matches("s.lua:2: ml.migrate: the name of a table", r.err)
    assert.matches("unknown option 'uniqe' %(did you mean 'unique'%?%)", t.run("ml.migrate { t = { uniqe = {} } }\nml.workflow('w', function() end)").err)
  end)
end)
