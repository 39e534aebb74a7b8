-- Every example runs, and its history replays clean; a changed script is refused.
local t = require "support"

local function example(name) return t.root .. "/examples/" .. name end

local function replays(d, id, script)
  d:write(id .. ".json", d:exec({ "show", id, "--json" }).out)
  local r = d:exec { "replay", id .. ".json", script }
  assert.equal(0, r.code, r.out .. r.err)
end

local function finally_remove(d, fn)
  local ok, e = pcall(fn)
  d:remove()
  if not ok then error(e, 0) end
end

describe("examples", function()
  it("01_hello", function()
    local d = t.dir {}
    finally_remove(d, function()
      local r = d:exec { "run", example "01_hello.lua", "--id", "h", "--input", '{"name":"Ada"}' }
      assert.equal('{"greeting":"Hello, Ada!"}\n', r.out)
      replays(d, "h", example "01_hello.lua")
    end)
  end)

  it("02_script", function()
    local d = t.dir {}
    finally_remove(d, function()
      local r = d:exec { "run", example "02_script.lua", "--", "3" }
      assert.equal(0, r.code, r.err)
      assert.matches("^3 squares, the last is 9, 7 bytes\nsha256 %x+\n$", r.out)
    end)
  end)

  it("03_daily_loop", function()
    local d = t.dir {}
    finally_remove(d, function()
      local r = d:exec({ "run", example "03_daily_loop.lua", "--id", "loop", "--clock", "virtual", "--input", '{"days":14}' }, { env = { LEDGER = d.path .. "/ledger" } })
      assert.equal(0, r.code, r.err)
      assert.equal(14, r.value.days)
      assert.equal(14, #r.value.posts)
      assert.equal("stand-in", r.value.posts[1].by)
      local _, effects = d:read("ledger"):gsub("\n", "")
      assert.equal(14 * 5, effects)
      replays(d, "loop", example "03_daily_loop.lua")
    end)
  end)

  it("03_daily_loop, changed: refused with event, both descriptions and the Lua line", function()
    local d = t.dir {}
    finally_remove(d, function()
      d:exec { "run", example "03_daily_loop.lua", "--id", "loop", "--clock", "virtual", "--input", '{"days":2}' }
      d:write("loop.json", d:exec({ "show", "loop", "--json" }).out)
      local f = assert(io.open(example "03_daily_loop.lua"))
      local text = f:read("a")
      f:close()
      local m = assert(io.open(example "lib/model.lua"))
      d:write("lib/model.lua", m:read("a"))
      m:close()
      d:write("changed.lua", (text:gsub("ml.activity%(\"render\"", 'ml.activity("draw"')))
      local r = d:exec { "replay", "loop.json", "changed.lua" }
      assert.equal(1, r.code)
      assert.matches("render", r.err)
      assert.matches("draw", r.err)
      assert.matches("changed.lua:%d+", r.err)
      assert.matches("event %d+", r.err)
    end)
  end)

  it("04_campaign", function()
    local d = t.dir {}
    finally_remove(d, function()
      local r = d:exec { "run", example "04_campaign.lua", "--workflow", "campaign", "--id", "c", "--clock", "virtual", "--input", '{"days":14}' }
      assert.equal(0, r.code, r.err)
      assert.is_true(r.value.posted >= 14)
      assert.equal(14, #r.value.scores)
      replays(d, "c", example "04_campaign.lua")
      replays(d, "c/1", example "04_campaign.lua")
    end)
  end)

  it("05_media_ingest", function()
    local d = t.dir {}
    finally_remove(d, function()
      os.execute("sox -n -r 44100 -c 2 " .. d.path .. "/talk.wav synth 2 sine 440")
      local r = d:exec { "run", example "05_media_ingest.lua", "--id", "m", "--input", '{"file":"' .. d.path .. '/talk.wav"}' }
      assert.equal(0, r.code, r.err)
      assert.equal(44100, r.value.meta.rate)
      assert.equal(2, r.value.meta.channels)
      assert.is_true(r.value.loudness.rms > 0.1)
      replays(d, "m", example "05_media_ingest.lua")
      local missing = d:exec { "run", example "05_media_ingest.lua", "--id", "n", "--input", '{"file":"/no/file.wav"}' }
      assert.equal(1, missing.code)
      assert.matches("FileMissing", missing.err)
    end)
  end)

  it("06_approval: waits, reminds, expires; or is decided", function()
    local d = t.dir {}
    finally_remove(d, function()
      local r = d:exec { "run", example "06_approval.lua", "--id", "late", "--clock", "virtual", "--input", '{"amount":120}' }
      assert.equal(0, r.code, r.err)
      assert.equal("expired", r.value.state)
      assert.matches("Reminder", r.err)
      replays(d, "late", example "06_approval.lua")
      assert.equal(0, d:exec({ "start", example "06_approval.lua", "--id", "yes", "--input", '{"amount":5}' }).code)
      assert.equal(0, d:exec({ "signal", "yes", "decision", '{"approved":true,"by":"Ada"}' }).code)
      r = d:exec { "run", example "06_approval.lua", "--id", "yes", "--input", '{"amount":5}' }
      assert.equal(0, r.code, r.err)
      assert.equal("approved", r.value.state)
      replays(d, "yes", example "06_approval.lua")
    end)
  end)

  it("embed/minimal and embed/game", function()
    local build = os.getenv("BUILD")
    local d = t.dir {}
    finally_remove(d, function()
      local p = io.popen(("%s/examples/embed/minimal %s '{\"name\":\"Ada\"}' 2>&1"):format(build, example "01_hello.lua"))
      assert.equal('Completed {"greeting":"Hello, Ada!"}\n', p:read("a"))
      p:close()
      p = io.popen(("%s/examples/embed/game %s %s/snapshot 2>&1"):format(build, example "embed/characters.lua", d.path))
      local out = p:read("a")
      assert.is_true(p:close(), out)
      assert.matches("^100 characters done, 0 failed", out)
    end)
  end)
end)

describe("the daily loop with a model server that others wrote", function()
  local tools = os.getenv("MOONLOOP_TEST_TOOLS")
  it("asks it over HTTP", function()
    assert(tools, "MOONLOOP_TEST_TOOLS is not set: run scripts/test, or export MOONLOOP_TEST_TOOLS=$(scripts/test-tools)")
    local d = t.dir { ["fakellm.yaml"] = [[
version: 1
defaults:
  fallback: deterministic_echo
rules:
  - name: plan
    when:
      messages_contain: "Propose one post"
    respond:
      content: '{"idea":"A walk at low tide","platform":"linkedin"}'
]], ["stream.lua"] = [[
      local ml = require "moonloop"
      local model = require "lib.model"
      local pieces = 0
      local text = model.ask("Say something about tides.", { stream = function() pieces = pieces + 1 end })
      print(pieces > 0, #text > 0)]] }
    finally_remove(d, function()
      local p = io.popen("python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); print(s.getsockname()[1])'")
      local port = p:read("l")
      p:close()
      p = io.popen(("cd %s && %s/venv/bin/fakellm serve --host 127.0.0.1 --port %s >fake.out 2>&1 & echo $!"):format(d.path, tools, port))
      local pid = p:read("l")
      p:close()
      local ok, e = pcall(function()
        t.eventually("the model server answers", function() return os.execute(("curl -s -o /dev/null http://127.0.0.1:%s/"):format(port)) end, 30)
        local env = { OPENAI_API_KEY = "sk-test-canary", OPENAI_BASE_URL = ("http://127.0.0.1:%s/v1"):format(port) }
        local r = d:exec({ "run", example "03_daily_loop.lua", "--id", "loop", "--clock", "virtual", "--input", '{"days":3}' }, { env = env })
        assert.equal(0, r.code, r.err)
        assert.equal(3, r.value.days)
        for _, post in ipairs(r.value.posts) do
          assert.is_not.equal("stand-in", post.by)
          assert.equal("A walk at low tide", post.idea)
          assert.equal("linkedin", post.platform)
        end
        assert.is_nil((r.out .. r.err):find("sk-test-canary", 1, true))
        assert.is_nil((d:read("t.db") .. d:read("t.db-wal")):find("sk-test-canary", 1, true))
        os.execute(("cp -r %s/examples/lib %s/"):format(t.root, d.path))
        local s = d:exec({ "run", "stream.lua" }, { env = env })
        assert.equal("true\ttrue\n", s.out, s.err)
      end)
      os.execute("kill " .. pid)
      if not ok then error(e, 0) end
    end)
  end)
end)
