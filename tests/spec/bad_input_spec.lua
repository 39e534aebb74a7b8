-- Input that nobody should send: files, results, payloads, scripts and peers. Each gets a message that says what and where, the
-- documented exit code, and loses nothing.
local t = require "support"

local head = 'local ml = require "moonloop"\n'
local waiter = head .. 'ml.workflow("w", function() local _, v = ml.channel("go"):receive() return v end)\n'
local hello = head .. 'ml.workflow("h", function() return "hello" end)\n'

local function with(files, fn)
  local d = t.dir(files)
  local ok, e = pcall(fn, d)
  for _, o in ipairs(d.owners or {}) do o.stop("KILL") end -- what a failed spec left running
  d:remove()
  if not ok then error(e, 0) end
end

local function shell(d, command)
  local p = io.popen(("cd '%s' && { %s ; } 2>&1"):format(d.path, command))
  local out = p:read("a")
  local ok = p:close()
  return out, ok
end

local function bytes(d) return shell(d, "cat t.db t.db-wal 2>/dev/null | sha256sum") end

-- Starts a program in its folder with its own socket folder: { stop(signal) }.
local function owner(d, arguments)
  d:write("go.sh", ("XDG_RUNTIME_DIR=%s MOONLOOP_DB=%s exec %s %s >o 2>e </dev/null\n"):format(d.path, d.db, t.program, arguments))
  local pid = shell(d, "sh go.sh & echo $!"):match("%d+")
  local o = { stop = function(signal) os.execute(("kill -%s %s 2>/dev/null"):format(signal or "TERM", pid)) end }
  d.owners = d.owners or {}
  d.owners[#d.owners + 1] = o
  return o
end

local function ask(d, ...) return d:exec({ ... }, { env = { XDG_RUNTIME_DIR = d.path } }) end

describe("a database file", function()
  it("from a newer version is refused and left as it is", function()
    with({ ["h.lua"] = hello }, function(d)
      assert.equal(0, d:exec({ "run", "h.lua", "--id", "a" }).code)
      shell(d, [[python3 -c "import sqlite3; c = sqlite3.connect('t.db'); c.execute('PRAGMA user_version=999'); c.close()"]])
      local before = bytes(d)
      for _, args in ipairs { { "run", "h.lua" }, { "list" }, { "start", "h.lua" }, { "show", "a" } } do
        local r = d:exec(args)
        assert.equal(6, r.code, args[1] .. ": " .. r.err)
        assert.matches("t.db", r.err, 1, true)
        assert.matches("newer", r.err, 1, true)
      end
      assert.equal(before, bytes(d))
    end)
  end)
  for name, damage in pairs {
    ["whose first page is damaged"] = "printf 'XXXXXXXXXXXXXXXXXXXX' | dd of=t.db bs=1 conv=notrunc 2>/dev/null",
    ["that was cut in its first page"] = "truncate -s 700 t.db",
  } do
    it(name .. " is refused and left as it is", function()
      with({ ["h.lua"] = hello }, function(d)
        assert.equal(0, d:exec({ "run", "h.lua", "--id", "a" }).code)
        shell(d, [[python3 -c "import sqlite3; c = sqlite3.connect('t.db'); c.execute('PRAGMA wal_checkpoint(TRUNCATE)'); c.close()"]])
        shell(d, damage)
        local before = bytes(d)
        for _, args in ipairs { { "run", "h.lua" }, { "list" }, { "start", "h.lua" } } do
          local r = d:exec(args)
          assert.equal(6, r.code, args[1] .. ": " .. r.err)
          assert.matches("t.db", r.err, 1, true)
        end
        assert.equal(before, bytes(d))
      end)
    end)
  end
end)

describe("a full disk", function()
  it("refuses new starts, pauses runs, and all go on when there is room", function()
    with({ ["f.lua"] = head .. [[
local step = ml.activity("step", { timeout = "60s" }, function(i) ml.sleep(0.01) return i .. (("x"):rep(40000)) end)
ml.workflow("fill", function() local n = 0 for i = 1, 100 do n = n + #step(i) end return n end)
]], ["h.lua"] = hello }, function(d)
      local _, mounted = shell(d, "mkdir small && mount -t tmpfs -o size=2m none small")
      if not mounted then
        pending("a small file system cannot be mounted here (this needs root)")
        return
      end
      local ok, e = pcall(function()
        d.db = d.path .. "/small/t.db"
        local o = owner(d, "run f.lua --id fill")
        t.eventually("the disk is full", function() return shell(d, "df --output=avail -k small"):match("(%d+)%s*$") + 0 < 64 end, 60)
        local r
        t.eventually("a start is refused", function()
          r = ask(d, "start", "h.lua", "--id", "late")
          return r.code ~= 0
        end, 30)
        assert.equal(6, r.code, r.err)
        assert.matches("full", r.err)
        assert.equal("", d:read("o"))
        shell(d, "mount -o remount,size=64m small")
        t.eventually("the run ends", function() return d:read("o") ~= "" end, 60)
        assert.equal("4000192\n", d:read("o"))
        assert.equal(0, ask(d, "run", "h.lua", "--id", "late").code)
        o.stop()
      end)
      t.eventually("the small file system is let go", function() return select(2, shell(d, "umount small")) end)
      if not ok then error(e, 0) end
    end)
  end)
end)

describe("a result that cannot be JSON", function()
  local cases = {
    { "a function", "{ a = { print } }", "result.a[1]", "function" },
    { "a cycle", "(function() local c = {} c.inner = { c } return c end)()", "result.inner[1]", "contains itself" },
    { "text that is not UTF-8", "{ [\"a b\"] = { name = '\\xff' } }", "result[\"a b\"].name", "UTF-8" },
    { "not-a-number", "{ list = { 1, 0 / 0 } }", "result.list[2]", "not-a-number" },
    { "an infinite number", "{ x = math.huge }", "result.x", "infinite" },
    { "a coroutine", "{ co = coroutine.create(print) }", "result.co", "thread" },
  }
  for _, c in ipairs(cases) do
    it("in a workflow: " .. c[1], function()
      local r = t.run("ml.workflow('w', function() return " .. c[2] .. " end)\n")
      assert.equal(3, r.code, r.err)
      assert.matches(c[3], r.err, 1, true)
      assert.matches(c[4], r.err, 1, true)
    end)
    it("in an activity: " .. c[1], function()
      local r = t.run("local act = ml.activity('act', { timeout = '10s', retry = { max_attempts = 1 } }, function() return " .. c[2] ..
        " end)\nml.workflow('w', function() return act() end)\n")
      assert.equal(1, r.code, r.err)
      assert.matches(c[3], r.err, 1, true)
      assert.matches(c[4], r.err, 1, true)
    end)
  end
end)

describe("a payload that is too large", function()
  it("as a result blocks the run and says how large it may be", function()
    local r = t.run("ml.workflow('w', function() local s = ('x'):rep(12000000) return { s, s, s } end)\n")
    assert.equal(3, r.code, r.err)
    assert.matches("32 MiB", r.err, 1, true)
  end)
  it("as an input is refused before anything is recorded", function()
    with({ ["h.lua"] = hello }, function(d)
      d:write("big.json", '"' .. ("x"):rep(34000000) .. '"')
      local r = d:exec { "run", "h.lua", "--id", "big", "--input", "@big.json" }
      assert.equal(2, r.code, r.err)
      assert.matches("MiB", r.err, 1, true)
      assert.equal(0, d:exec({ "run", "h.lua", "--id", "big" }).code)
    end)
  end)
end)

describe("a script", function()
  it("that never yields is stopped, and the others go on", function()
    local r = t.run("ml.workflow('spins', function() while true do pcall(error) end end)\nml.workflow('w', function()\n" ..
      "local h = ml.child('spins', {}):start() ml.sleep(1) return 'fine' end)\n", { args = { "--workflow", "w" } })
    assert.equal(0, r.code, r.err)
    assert.equal('"fine"\n', r.out)
    assert.matches("instructions in one activation", r.err, 1, true)
  end)
  it("that exhausts memory is stopped with its limit", function()
    local r = t.run("ml.workflow('w', function() local l = {} while true do l[#l + 1] = ('x'):rep(1000) .. #l end end)\n")
    assert.equal(3, r.code, r.err)
    assert.matches("bytes of memory", r.err, 1, true)
  end)
end)

describe("an activity that returns after its run is gone", function()
  it("changes nothing, harms nobody and is told in the log", function()
    with({ ["a.lua"] = head .. [[
local slow = ml.activity("slow", { timeout = "30s" }, function()
  ml.shield(function() -- it is told to stop, and goes on
    while not ml.fs.exists("release") do ml.sleep(0.02) end
    ml.store.set("gone", "returned", true) -- a row of the database
    ml.fs.write("returned", "x")
  end)
  return "a result that nobody waits for"
end)
ml.workflow("calls", function() return slow() end)
ml.workflow("keeper", function()
  ml.child("calls", { id = "gone", parent_close = "abandon" }):start()
  local _, v = ml.channel("go"):receive()
  return v
end)
]], ["l.lua"] = head .. [[
local look = ml.activity("look", { timeout = "5s" }, function() return (ml.store.get("gone", "returned")) end)
ml.workflow("looks", function() return look() end)
]] }, function(d)
      local o = owner(d, "run a.lua --workflow keeper --id keeper")
      t.eventually("the activity runs", function() return ask(d, "show", "gone").out:find("slow") end)
      assert.equal(0, ask(d, "terminate", "gone", "--reason", "not wanted").code)
      local before = ask(d, "show", "gone", "--json").out
      assert.equal("", d:read("returned"))
      d:write("release", "")
      t.eventually("the activity returns", function() return d:read("returned") == "x" end)
      t.eventually("the log tells it", function()
        return d:read("e"):find("activity slow of gone ended when nobody waited for it any more: its outcome is not kept", 1, true) end)
      local r = ask(d, "run", "l.lua", "--id", "looks")
      assert.equal("true\n", r.out, r.err)
      assert.equal(before, ask(d, "show", "gone", "--json").out)
      assert.is_nil(before:find("nobody waits for", 1, true))
      assert.equal(4, ask(d, "result", "gone").code)
      assert.equal(0, ask(d, "signal", "keeper", "go", "5").code)
      t.eventually("the keeper ends", function() return d:read("o") == "5\n" end)
      o.stop()
    end)
  end)
end)

describe("a worker that is killed in the midst of a POST", function()
  local server
  setup(function() server = t.http_server() end)
  teardown(function() server.stop() end)
  local pay = function(path) return head .. ([[
local pay = ml.activity("pay", { timeout = "60s" }, function()
  local key = ml.info().idempotency_key
  local r = ml.http.post("%s/%s", { json = { amount = 5 }, idempotency_key = key })
  return { sent = key, seen = r:json(), attempt = ml.info().attempt }
end)
ml.workflow("w", function() return pay() end)
]]):format(server.url, path) end
  local function counted(d, what) return tonumber((shell(d, ("python3 -c \"import urllib.request as u; print(u.urlopen('%s/count/%s').read().decode())\""):format(server.url, what)))) end
  it("before the answer came: the same key goes again, the server counts one effect", function()
    with({ ["p.lua"] = pay("pay/hold") }, function(d)
      local requests, effects = counted(d, "pay-requests"), counted(d, "pay-effects")
      local o = owner(d, "run p.lua --id p")
      t.eventually("the server has the request", function() return counted(d, "pay-requests") == requests + 1 end)
      o.stop("KILL")
      local r = ask(d, "run", "p.lua", "--id", "p")
      assert.equal(0, r.code, r.err)
      assert.is_true(#r.value.sent > 10)
      assert.equal(r.value.sent, r.value.seen.key)
      assert.equal(2, r.value.attempt)
      assert.equal(requests + 2, counted(d, "pay-requests"))
      assert.equal(effects + 1, counted(d, "pay-effects"))
      assert.equal(effects + 1, r.value.seen.effects)
    end)
  end)
  it("after the answer, before it was recorded: the same", function()
    with({ ["p.lua"] = pay("pay") }, function(d)
      local requests, effects = counted(d, "pay-requests"), counted(d, "pay-effects")
      local r = d:exec({ "run", "p.lua", "--id", "p" }, { env = { ML_FAULTS = "worker.report:1" } })
      assert.equal(137, r.code, r.err)
      assert.equal(requests + 1, counted(d, "pay-requests"))
      r = d:exec { "run", "p.lua", "--id", "p" }
      assert.equal(0, r.code, r.err)
      assert.equal(r.value.sent, r.value.seen.key)
      assert.equal(2, r.value.attempt)
      assert.equal(requests + 2, counted(d, "pay-requests"))
      assert.equal(effects + 1, counted(d, "pay-effects"))
    end)
  end)
end)

describe("a peer of the socket that sends garbage", function()
  it("is refused or let go, and the owner serves the next", function()
    with({ ["w.lua"] = waiter }, function(d)
      local o = owner(d, "run w.lua --id w")
      t.eventually("the owner runs", function() return ask(d, "list", "--json").out:find('"w"') end)
      local socket = shell(d, "ls moonloop/*"):match("moonloop/%x+[^\n]*")
      assert.is_string(socket)
      for _, kind in ipairs { "zero", "too_long", "over_limit", "not_json", "not_object", "deep", "invalid_utf8", "wrong_version", "no_version",
        "unknown_verb", "wrong_types", "http", "half_length", "half_frame", "many" } do
        local out = shell(d, ("python3 '%s/tests/support/garbage.py' %s %s"):format(t.root, socket, kind))
        assert.is_nil(out:find("Traceback", 1, true), kind .. ": " .. out)
        if kind ~= "many" then assert.matches("closed", out, 1, true, kind) end
        if kind == "wrong_version" then assert.matches("version", out, 1, true) end
        local r = ask(d, "list", "--json")
        assert.equal(0, r.code, kind .. ": " .. r.err)
        assert.matches('"w"', r.out, 1, true)
      end
      assert.equal(0, ask(d, "signal", "w", "go", "1").code)
      t.eventually("the run ends", function() return d:read("o") == "1\n" end)
      o.stop()
    end)
  end)
end)

describe("a flood of signals", function()
  it("to a run that reads none of them is kept within bounds and loses none that was accepted", function()
    with({ ["s.lua"] = head .. [[
ml.workflow("sink", function() local n = 0 ml.channel("go"):receive() local c = ml.channel("x")
  while true do local ok = c:receive { timeout = 0.001 } if not ok then return n end n = n + 1 end end)
ml.workflow("flood", function() local h = ml.external("sink") for i = 1, 1500 do h:signal("x", i) if i % 500 == 0 then ml.sleep(0.01) end end return 1500 end)
]] }, function(d)
      assert.equal(0, d:exec({ "start", "s.lua", "--workflow", "sink", "--id", "sink", "--clock", "virtual" }).code)
      local r = d:exec { "run", "s.lua", "--workflow", "flood", "--id", "flood" }
      assert.equal("1500\n", r.out, r.err)
      assert.equal(0, d:exec({ "signal", "sink", "go" }).code)
      r = d:exec { "run", "s.lua", "--workflow", "sink", "--id", "sink" }
      assert.equal("1500\n", r.out, r.err)
    end)
  end)
  it("is refused from 10,000 on that the run has not received, to every sender, and none that was accepted is lost", function()
    with({ ["s.lua"] = head .. [[
ml.workflow("sink", function()
  local released, n = false, 0
  ml.update("go", function() released = true return n end)
  ml.await(function() return released end)
  local c = ml.channel("x")
  while true do
    local _, v = c:receive()
    if v == "last" then return n end
    n = n + 1
    if v ~= n then return { "lost or out of order", n, v } end
  end
end)
local flood = ml.activity("flood", { timeout = "120s", retry = { max_attempts = 1 } }, function()
  local sink, taken, refused, first = ml.client.run("sink"), 0, 0, nil
  for i = 1, 10020 do
    local ok, e = pcall(sink.signal, sink, "x", i)
    if ok then taken = taken + 1 else refused, first = refused + 1, first or { type = e.type, message = e.message } end
  end
  local ok, e = pcall(ml.client.start, "sink", { id = "sink", signal = "x", input = 1 })
  return { taken = taken, refused = refused, first = first, with_start = not ok and e.type }
end)
ml.workflow("flooder", function()
  local r = flood()
  local ok, e = pcall(function() ml.external("sink"):signal("x", "from a run") end)
  r.from_run = not ok and e.type
  return r
end)
]] }, function(d)
      assert.equal(0, d:exec({ "start", "s.lua", "--workflow", "sink", "--id", "sink" }).code)
      local r = d:exec { "run", "s.lua", "--workflow", "flooder", "--id", "flooder", "--durability", "fast" }
      assert.equal(0, r.code, r.err)
      assert.equal(10000, r.value.taken)
      assert.equal(20, r.value.refused)
      assert.equal("TooLarge", r.value.first.type)
      assert.matches('workflow "sink" has 10000 signals that it has not received', r.value.first.message, 1, true)
      assert.equal("TooLarge", r.value.with_start)
      assert.equal("SignalCountLimitExceeded", r.value.from_run)
      r = d:exec { "signal", "sink", "x", '"from outside"' } -- by a new process: the file knows
      assert.equal(2, r.code, r.err)
      assert.matches("send it again when the workflow has received some", r.err, 1, true)
      local o = owner(d, "run s.lua --workflow sink --id sink")
      t.eventually("the run is told to receive", function() return ask(d, "update", "sink", "go").code == 0 end, 30)
      t.eventually("a signal is taken again", function() return ask(d, "signal", "sink", "x", '"last"').code == 0 end, 30)
      t.eventually("the run ends", function() return d:read("o") ~= "" end, 30)
      assert.equal("10000\n", d:read("o"))
      o.stop()
    end)
  end)
end)
