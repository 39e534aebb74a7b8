-- The load of scripts/soak: tests/temporal/soak.py starts these, talks to them and knows how each must end.
local ml = require "moonloop"

local add = ml.activity("add", { timeout = "20s" }, function(a, b) return a + b end)
local naps = ml.activity("naps", { timeout = "20s" }, function(ms) ml.sleep(ms / 1000) return ms end)
local flaky = ml.activity("flaky", { timeout = "20s", retry = { initial = "50ms", backoff = 1, max_attempts = 3 } }, function(fails)
  if ml.info().attempt <= fails then ml.fail("attempt " .. ml.info().attempt, { type = "Flaky", details = { ("x"):rep(500) } }) end
  return ml.info().attempt
end)
local beats = ml.activity("beats", { timeout = "20s", heartbeat = "10s", retry = { initial = "50ms", max_attempts = 4 } }, function()
  local before = ml.info().heartbeat_details
  if before then return before.n end
  for n = 1, 5 do
    ml.heartbeat { n = n }
    ml.sleep("20ms")
  end
  ml.fail("lost", { type = "Lost" })
end)
local patient = ml.activity("patient", { timeout = "300s", heartbeat = "2s", retry = { max_attempts = 1 } }, function()
  while true do
    ml.heartbeat("still here")
    ml.sleep("50ms")
  end
end)
local quick = ml.local_activity("quick", { timeout = "10s", retry = { initial = "10ms", max_attempts = 3 } }, function(v, fails)
  if ml.info().attempt <= fails then ml.fail("not yet", { type = "NotYet" }) end
  return v * 2
end)
local slow = ml.local_activity("slow", { timeout = "10s" }, function(ms) ml.sleep(ms / 1000) return ms end)

ml.workflow("steps", function(n)
  local sum = 0
  for i = 1, n do sum = add(sum, i) end
  return sum
end)

ml.workflow("fan", function(n)
  local each = {}
  for i = 1, n do each[i] = function() return add(i, naps(i)) end end
  local sum = 0
  for _, v in ipairs((ml.all(each))) do sum = sum + v end
  return sum
end)

ml.workflow("timers", function(n)
  local log = ml.list {}
  for i = 1, n do
    ml.sleep("10ms")
    local which, got = ml.race { function() ml.sleep("1h") end, function() ml.sleep("20ms") return i end }
    log[i] = which == 2 and got or -1
  end
  log[n + 1] = ml.await(function() return false end, "30ms")
  return log
end)

ml.workflow("talk", function(start)
  local n, notes, done = start, ml.list {}, false
  local more = ml.channel("more")
  ml.on_signal("add", function(k) n = add(n, k) end)
  ml.query("value", function(plus) return n + plus end)
  ml.update("bump", function(k) n = n + k return n end, { validator = function(k) if k < 0 then ml.fail("no negative bumps", { type = "Negative" }) end end })
  ml.update("slow", function(k) ml.sleep("30ms") n = add(n, k) return n end)
  ml.update("finish", function() done = true return "finished" end)
  ml.await(function() return done end)
  while true do
    local got, note = more:try()
    if not got then break end
    notes[#notes + 1] = note
  end
  return { n = n, notes = notes }
end)

ml.workflow("family", function(id, n)
  local one = ml.child("steps", { id = id .. "-one" }):async(n)
  local two = ml.child("locals", { id = id .. "-two" }):async(n)
  local lost = ml.child("talk", { id = id .. "-lost", cancel = "wait" }):start(0)
  local ok, e = pcall(function() return ml.child("doomed", { id = id .. "-bad" })() end)
  local sum = one:await() + two:await()
  lost:cancel()
  local ended, why = pcall(lost.result, lost)
  return { sum = sum, ok = ok, type = e.cause.type, ended = ended, why = why.cause and why.cause.type or why.type }
end)

ml.workflow("chain", function(at)
  local sum = add(at.sum, at.left)
  if at.left > 0 then ml.continue_as_new { left = at.left - 1, sum = sum } end
  return sum
end)

ml.workflow("locals", function(n)
  local sum = 0
  for i = 1, n do sum = sum + quick(i, i == 2 and 1 or 0) end
  slow(30)
  return sum
end)

ml.workflow("beating", function() return beats() end)

ml.workflow("retries", function()
  local ok, e = pcall(flaky, 3)
  return { attempt = flaky(2), ok = ok, type = e.cause.type }
end)

ml.workflow("doomed", function()
  flaky(3)
end)

ml.workflow("stopped", function()
  local undone = 0
  ml.query("undone", function() return undone end)
  ml.saga(function(saga)
    saga:compensate(function() undone = add(undone, 1) end)
    ml.all { function() patient() end, function() ml.sleep("1h") end, function() slow(5) ml.channel("never"):receive() end }
  end)
end)

ml.workflow("neighbour", function(other, k)
  ml.external(other):signal("add", k)
  local id, lucky = ml.side_effect(function() return "drawn" end), ml.random(1, 6)
  ml.memo { id = id, lucky = lucky }
  return id
end)
