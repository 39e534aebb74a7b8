-- What `moonloop replay` says of each kind of change to each kind of step, against histories that the unchanged script made.
-- The table of tests/replay/README.md is made from this one: WRITE_TABLE=1 writes it, without it the spec compares.
local t = require "support"

local head = [[
local ml = require "moonloop"
local act = ml.activity("act", { timeout = "9s" }, function(n) return n end)
local other = ml.activity("other", { timeout = "9s" }, function(n) return n end)
local near = ml.local_activity("near", { timeout = "9s" }, function(n) return n end)
local close_by = ml.local_activity("close_by", { timeout = "9s" }, function(n) return n end)
ml.workflow("kid", function(n) ml.channel("x"):receive { timeout = "1s" } return n end)
ml.workflow("kid2", function(n) return n end)
ml.workflow("w", function(input)
]]
local tail = "\nend)\n"

-- Outcomes: "error" (non-determinism, with event, both sides and a line), "drift" (listed; on the bundle that made the history an
-- error), "clean". A mutant is { what is changed, its text, outcome, a note }.
local classes = {
  { step = "activity", base = 'act(1) other(2) ml.sleep(1) return 1', mutants = {
    { "rename", 'other(1) other(2) ml.sleep(1) return 1', "error" },
    { "add", 'act(1) act(3) other(2) ml.sleep(1) return 1', "error" },
    { "remove", 'other(2) ml.sleep(1) return 1', "error" },
    { "reorder", 'other(2) act(1) ml.sleep(1) return 1', "error" },
    { "argument", 'act(9) other(2) ml.sleep(1) return 1', "drift" },
    { "option (time-out)", 'act:with { timeout = "8s" }(1) other(2) ml.sleep(1) return 1', "clean", "options are the engine's affair" },
    { "id", 'act:with { id = "mine" }(1) other(2) ml.sleep(1) return 1', "error" },
    { "another way to the same", 'local f = act:async(1) f:await() ml.all { other:async(2) } ml.sleep(1) return 1', "clean", "the same commands" } } },
  { step = "local activity", base = 'near(1) close_by(2) ml.sleep(1) return 1', mutants = {
    { "rename", 'close_by(1) close_by(2) ml.sleep(1) return 1', "error" },
    { "add", 'near(1) near(3) close_by(2) ml.sleep(1) return 1', "error" },
    { "remove", 'close_by(2) ml.sleep(1) return 1', "error" },
    { "reorder", 'close_by(2) near(1) ml.sleep(1) return 1', "error" },
    { "as an activity", 'act(1) close_by(2) ml.sleep(1) return 1', "error" },
    { "argument", 'near(9) close_by(2) ml.sleep(1) return 1', "clean", "its marker holds no arguments" } } },
  { step = "timer", base = 'ml.sleep(1) act(1) return 1', mutants = {
    { "add", 'ml.sleep(1) ml.sleep(1) act(1) return 1', "error" },
    { "remove", 'act(1) return 1', "error" },
    { "reorder", 'act(1) ml.sleep(1) return 1', "error" },
    { "argument", 'ml.sleep(5) act(1) return 1', "clean", "the timer that runs is the recorded one" },
    { "summary", 'ml.sleep(1, { summary = "nap" }) act(1) return 1', "clean", "for people" } } },
  { step = "timer of a wait", base = 'ml.channel("c"):receive { timeout = 1 } return 1', mutants = {
    { "add", 'ml.await(function() return false end, 1) ml.channel("c"):receive { timeout = 1 } return 1', "error" },
    { "remove", 'ml.channel("c"):receive() return 1', "error" },
    { "another wait", 'ml.await(function() return false end, 1) return 1', "clean", "the same timer" } } },
  { step = "timer cancelled", base = 'local f = ml.spawn(function() ml.sleep(9) end) ml.sleep(1) f:cancel() ml.sleep(1) return 1', mutants = {
    { "add", 'local f, g = ml.spawn(function() ml.sleep(9) end), ml.spawn(function() ml.sleep(9) end) ml.sleep(1) f:cancel() g:cancel() ml.sleep(1) return 1', "error" },
    { "remove", 'ml.spawn(function() ml.sleep(9) end) ml.sleep(1) ml.sleep(1) return 1', "error" },
    { "reorder", 'local f = ml.spawn(function() ml.sleep(9) end) ml.sleep(1) local g = ml.spawn(function() ml.sleep(1) end) ml.sleep(0.5) f:cancel() g:await() return 1', "error" } } },
  { step = "activity cancelled", base = 'local f = act:with { task_queue = "nobody", schedule_to_start = "9s" }:async(1) ml.sleep(1) f:cancel() ml.sleep(1) return 1', mutants = {
    { "remove", 'act:with { task_queue = "nobody", schedule_to_start = "9s" }:async(1) ml.sleep(1) ml.sleep(1) return 1', "error" },
    { "add", 'local f, g = act:with { task_queue = "nobody", schedule_to_start = "9s" }:async(1) g = act:async(2) ml.sleep(1) f:cancel() g:cancel() ml.sleep(1) return 1', "error" } } },
  { step = "child", base = 'ml.child("kid", { id = "k1" })(1) ml.child("kid2", { id = "k2" })(2) ml.sleep(1) return 1', mutants = {
    { "rename", 'ml.child("kid2", { id = "k1" })(1) ml.child("kid2", { id = "k2" })(2) ml.sleep(1) return 1', "error" },
    { "id", 'ml.child("kid", { id = "k9" })(1) ml.child("kid2", { id = "k2" })(2) ml.sleep(1) return 1', "error" },
    { "add", 'ml.child("kid", { id = "k1" })(1) ml.child("kid")(1) ml.child("kid2", { id = "k2" })(2) ml.sleep(1) return 1', "error" },
    { "remove", 'ml.child("kid2", { id = "k2" })(2) ml.sleep(1) return 1', "error" },
    { "reorder", 'ml.child("kid2", { id = "k2" })(2) ml.child("kid", { id = "k1" })(1) ml.sleep(1) return 1', "error" },
    { "argument", 'ml.child("kid", { id = "k1" })(9) ml.child("kid2", { id = "k2" })(2) ml.sleep(1) return 1', "drift" },
    { "option (parent_close)", 'ml.child("kid", { id = "k1", parent_close = "abandon" })(1) ml.child("kid2", { id = "k2" })(2) ml.sleep(1) return 1', "clean", "options are the engine's affair" } } },
  { step = "signal to another run", base = 'local h = ml.child("kid", { id = "k1" }):start(1) h:signal("x", 1) h:result() return 1', mutants = {
    { "rename", 'local h = ml.child("kid", { id = "k1" }):start(1) h:signal("y", 1) h:result() return 1', "error" },
    { "target", 'local h = ml.child("kid", { id = "k1" }):start(1) ml.external("k2"):signal("x", 1) h:result() return 1', "error" },
    { "add", 'local h = ml.child("kid", { id = "k1" }):start(1) h:signal("x", 1) h:signal("x", 1) h:result() return 1', "error" },
    { "remove", 'local h = ml.child("kid", { id = "k1" }):start(1) h:result() return 1', "error" },
    { "reorder", 'local h = ml.child("kid", { id = "k1" }):start(1) h:result() h:signal("x", 1) return 1', "error" },
    { "argument", 'local h = ml.child("kid", { id = "k1" }):start(1) h:signal("x", 2) h:result() return 1', "drift" } } },
  { step = "cancellation of another run", base = 'local h = ml.child("kid", { id = "k1" }):start(1) ml.external("k1"):cancel() pcall(h.result, h) return 1', mutants = {
    { "target", 'local h = ml.child("kid", { id = "k1" }):start(1) ml.external("k2"):cancel() pcall(h.result, h) return 1', "error" },
    { "add", 'local h = ml.child("kid", { id = "k1" }):start(1) ml.external("k1"):cancel() ml.external("k1"):cancel() pcall(h.result, h) return 1', "error" },
    { "remove", 'local h = ml.child("kid", { id = "k1" }):start(1) pcall(h.result, h) return 1', "error" },
    { "reorder", 'ml.external("k1"):cancel() local h = ml.child("kid", { id = "k1" }):start(1) pcall(h.result, h) return 1', "error" },
    { "argument (reason)", 'local h = ml.child("kid", { id = "k1" }):start(1) ml.external("k1"):cancel("why") pcall(h.result, h) return 1', "clean", "for people" } } },
  { step = "side effect", base = 'ml.side_effect(function() return 1 end) ml.sleep(1) return 1', mutants = {
    { "add", 'ml.side_effect(function() return 1 end) ml.side_effect(function() return 2 end) ml.sleep(1) return 1', "error" },
    { "remove", 'ml.sleep(1) return 1', "error" },
    { "reorder", 'ml.sleep(1) ml.side_effect(function() return 1 end) return 1', "error" },
    { "value", 'ml.side_effect(function() return 9 end) ml.sleep(1) return 1', "clean", "the recorded value is given" } } },
  { step = "patch", base = 'if ml.patched("p") then act(1) else other(1) end ml.sleep(1) return 1', mutants = {
    { "rename", 'if ml.patched("q") then act(1) else other(1) end ml.sleep(1) return 1', "error" },
    { "add", 'if ml.patched("p") then act(1) else other(1) end if ml.patched("q") then other(3) end ml.sleep(1) return 1', "clean", "false in what was done before" },
    { "remove", 'act(1) ml.sleep(1) return 1', "error" },
    { "reorder", 'ml.sleep(1) if ml.patched("p") then act(1) else other(1) end return 1', "error" },
    { "deprecate", 'ml.deprecate_patch("p") act(1) ml.sleep(1) return 1', "clean", "what it is there for" } } },
  { step = "deprecated patch", base = 'ml.deprecate_patch("p") act(1) ml.sleep(1) return 1', mutants = {
    { "remove", 'act(1) ml.sleep(1) return 1', "clean", "what it is there for" },
    { "add", 'ml.deprecate_patch("p") ml.deprecate_patch("q") act(1) ml.sleep(1) return 1', "clean", "nobody has to ask" } } },
  { step = "search attributes", base = 'ml.search_attributes { A = 1 } ml.sleep(1) return 1', mutants = {
    { "add", 'ml.search_attributes { A = 1 } ml.search_attributes { B = 1 } ml.sleep(1) return 1', "error" },
    { "remove", 'ml.sleep(1) return 1', "error" },
    { "reorder", 'ml.sleep(1) ml.search_attributes { A = 1 } return 1', "error" },
    { "value", 'ml.search_attributes { A = 2 } ml.sleep(1) return 1', "clean", "values are not compared" } } },
  { step = "memo", base = 'ml.memo { a = 1 } ml.sleep(1) return 1', mutants = {
    { "add", 'ml.memo { a = 1 } ml.memo { b = 1 } ml.sleep(1) return 1', "error" },
    { "remove", 'ml.sleep(1) return 1', "error" },
    { "reorder", 'ml.sleep(1) ml.memo { a = 1 } return 1', "error" },
    { "value", 'ml.memo { a = 2 } ml.sleep(1) return 1', "clean", "values are not compared" } } },
  { step = "signal handler", base = 'ml.on_signal("s", function(n) act(n) end) ml.external(ml.info().workflow_id):signal("s", 1) ml.sleep(1) return 1', mutants = {
    { "rename", 'ml.on_signal("r", function(n) act(n) end) ml.external(ml.info().workflow_id):signal("s", 1) ml.sleep(1) return 1', "error" },
    { "add", 'ml.on_signal("s", function(n) act(n) other(n) end) ml.external(ml.info().workflow_id):signal("s", 1) ml.sleep(1) return 1', "error" },
    { "remove", 'ml.external(ml.info().workflow_id):signal("s", 1) ml.sleep(1) return 1', "error" },
    { "argument", 'ml.on_signal("s", function(n) act(n + 1) end) ml.external(ml.info().workflow_id):signal("s", 1) ml.sleep(1) return 1', "drift" },
    { "another handler", 'ml.on_signal("s", function(n) act(n) end) ml.on_signal("r", print) ml.external(ml.info().workflow_id):signal("s", 1) ml.sleep(1) return 1', "clean", "makes no command" } } },
  { step = "update handler", update = true, base = 'local done ml.update("u", function(n) act(n) done = true return n end) ml.await(function() return done end) return 1', mutants = {
    { "rename", 'local done ml.update("v", function(n) act(n) done = true return n end) ml.await(function() return done end) return 1', "error" },
    { "add", 'local done ml.update("u", function(n) act(n) other(n) done = true return n end) ml.await(function() return done end) return 1', "error" },
    { "remove", 'ml.await(function() return false end) return 1', "error" },
    { "reorder", 'local done ml.update("u", function(n) done = true ml.spawn(act, n) return n end) ml.await(function() return done end) return 1', "error" },
    { "argument", 'local done ml.update("u", function(n) act(n + 1) done = true return n end) ml.await(function() return done end) return 1', "drift" },
    { "answer", 'local done ml.update("u", function(n) act(n) done = true return 9 end) ml.await(function() return done end) return 1', "clean", "results are not compared" },
    { "validator", 'local done ml.update("u", function(n) act(n) done = true return n end, { validator = function() error("no") end }) ml.await(function() return done end) return 1', "clean", "what was accepted is not asked again" } } },
  { step = "query", base = 'ml.query("q", function() return 1 end) ml.sleep(1) return 1', mutants = {
    { "add", 'ml.query("q", function() return 1 end) ml.query("r", function() return 1 end) ml.sleep(1) return 1', "clean", "makes no command" },
    { "remove", 'ml.sleep(1) return 1', "clean", "makes no command" } } },
  { step = "continue as new", base = 'if input then return 1 end ml.sleep(1) ml.continue_as_new(1)', first = true, mutants = {
    { "remove", 'ml.sleep(1) return 1', "error" },
    { "add (earlier)", 'if input then return 1 end ml.continue_as_new(1)', "error" },
    { "reorder", 'if input then return 1 end ml.sleep(1) ml.sleep(1) ml.continue_as_new(1)', "error" },
    { "argument", 'if input then return 1 end ml.sleep(1) ml.continue_as_new(2)', "clean", "the input of the next run is not compared" },
    { "workflow", 'if input then return 1 end ml.sleep(1) ml.continue_as_new(1, { workflow = "kid2" })', "clean", "options are the engine's affair" } } },
  { step = "completion", base = 'ml.sleep(1) return 1', mutants = {
    { "failure instead", 'ml.sleep(1) ml.fail("no")', "error" },
    { "a step before it", 'ml.sleep(1) act(1) return 1', "error" },
    { "earlier", 'if not ml.info().x then return 1 end', "error" },
    { "result", 'ml.sleep(1) return 2', "clean", "results are not compared" } } },
  { step = "failure", base = 'ml.sleep(1) ml.fail("no")', mutants = {
    { "completion instead", 'ml.sleep(1) return 1', "error" },
    { "message", 'ml.sleep(1) ml.fail("other")', "clean", "failures are not compared" } } },
  { step = "the end of an open history", open = true, base = 'act(1) ml.channel("never"):receive()', mutants = {
    { "add after it", 'act(1) ml.channel("never"):receive() act(2) return 1', "clean", "not done yet" },
    { "add before it", 'act(1) act(2) ml.channel("never"):receive()', "error" },
    { "another wait", 'act(1) ml.channel("other"):receive()', "clean", "makes no command" } } },
}

-- The base's history; the build id in it is the digest of the base.
local function history(d, class)
  d:write("base.lua", head .. class.base .. tail)
  if class.update then
    local p = d:spawn({ "run", "base.lua", "--workflow", "w", "--id", "x" })
    t.eventually("the update is taken", function() return d:exec({ "update", "x", "u", "1" }).code == 0 end)
    t.eventually("the run ends", function() return d:exec({ "result", "x" }).code == 0 end)
    p:kill("TERM")
  else
    local r = d:exec { "run", "base.lua", "--workflow", "w", "--id", "x", "--clock", "virtual" }
    assert(r.code == (class.open and 3 or class.step == "failure" and 1 or 0), ("exit code %d: %s"):format(r.code, r.err))
  end
  local args = { "show", "x", "--json" }
  if class.first then -- the first run of the chain
    for line in d:exec({ "list", "--json" }).out:gmatch("{[^{}]*}") do
      if line:find("ContinuedAsNew", 1, true) then args[#args + 1] = "--run" args[#args + 1] = line:match('"runId":%s*"([^"]+)"') end
    end
  end
  local shown = d:exec(args)
  local text = shown.out
  assert(text:find("WorkflowExecutionStarted", 1, true) or text:find("EXECUTION_STARTED", 1, true), text .. shown.err)
  return text
end

local function digest_of(text) return text:match('"buildId":%s*"(%x+)"') end

-- A mutant's digest: that of a run of it that only loads (it may block or fail, its first task is completed or not recorded).
local function digest(d, body)
  d:write("digest.lua", head .. body .. tail)
  local r = d:exec { "run", "digest.lua", "--workflow", "kid2", "--id", "d", "--clock", "virtual", "--db", "digest.db" }
  local found = digest_of(d:exec({ "show", "d", "--json", "--db", "digest.db" }).out)
  os.execute("rm -f '" .. d.path .. "'/digest.db*")
  return (assert(found, r.err))
end

local function replay(d, text, body)
  d:write("h.json", text)
  d:write("digest.lua", head .. body .. tail) -- one name for all: the digest is of names and texts
  local r = d:exec { "replay", "h.json", "digest.lua" }
  local said = r.out .. r.err
  if r.code == 0 then return said:find("other arguments", 1, true) and "drift" or "clean", said end
  return said:find("history and script differ", 1, true) and "error" or "failed", said
end

local function check(d, class, text, mutant)
  local what, body, expected = mutant[1], mutant[2], mutant[3]
  local got, said = replay(d, text, body)
  local label = class.step .. ", " .. what .. ": " .. said
  assert.equal(expected, got, label)
  if got == "error" then
    assert.truthy(said:find("event %d+"), label)
    assert.truthy(said:find("recorded ", 1, true) or said:find("was not recorded", 1, true), label)
    assert.truthy(said:find("now asks for ", 1, true) or said:find("no longer asks", 1, true) or said:find("now has no handler", 1, true)
      or said:find("which was not recorded", 1, true) or said:find("no such ", 1, true) or said:find("has no such", 1, true), label)
    assert.truthy(said:find("digest.lua:%d+") or said:find("now has no handler", 1, true) or said:find("no longer asks", 1, true) or said:find("no such ", 1, true), label)
  end
  if got == "drift" then -- the same on the bundle that made the history
    local same, why = replay(d, (text:gsub(digest_of(text), digest(d, body))), body)
    assert.equal("error", same, label .. why)
    assert.truthy(why:find("event %d+") and why:find("with other arguments", 1, true) and why:find("digest.lua:%d+"), why)
  end
end

describe("replay of a changed script", function()
  for _, class in ipairs(classes) do
    it("says what is expected: " .. class.step, function()
      local d = t.dir {}
      local ok, e = pcall(function()
        local text = history(d, class)
        assert.equal("clean", (replay(d, text, class.base)), class.step)
        for _, mutant in ipairs(class.mutants) do check(d, class, text, mutant) end
      end)
      d:remove()
      if not ok then error(e, 0) end
    end)
  end

  it("is what tests/replay/README.md says", function()
    local words = { error = "error", clean = "clean", drift = "drift; on the bundle that made the history: error" }
    local lines = { "| step | change | replay | because |", "|---|---|---|---|" }
    for _, class in ipairs(classes) do
      for _, m in ipairs(class.mutants) do lines[#lines + 1] = ("| %s | %s | %s | %s |"):format(class.step, m[1], words[m[3]], m[4] or "") end
    end
    local table_text = table.concat(lines, "\n") .. "\n"
    local path = t.root .. "/tests/replay/README.md"
    local f = assert(io.open(path))
    local text = f:read("a")
    f:close()
    local before, held, after = text:match("^(.-<!%-%- classes:begin %-%->\n)(.-)(<!%-%- classes:end %-%->.*)$")
    if os.getenv("WRITE_TABLE") == "1" then
      f = assert(io.open(path, "w"))
      f:write(before .. table_text .. after)
      f:close()
    else
      assert.equal(table_text, held)
    end
  end)
end)
