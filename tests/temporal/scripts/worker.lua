-- What the tests of the worker half run (tests/temporal/worker_test.py).
local ml = require "moonloop"

local echo = ml.activity("echo", { timeout = "20s" }, function(v) return v end)
local measure = ml.activity("measure", { timeout = "20s" }, function(v) return #v end)
local flaky = ml.activity("flaky", { timeout = "20s", retry = { initial = "100ms", max_attempts = 5 } }, function(until_attempt)
  local attempt = ml.info().attempt
  if attempt < until_attempt then ml.fail("attempt " .. attempt, { type = "Flaky" }) end
  return { attempt = attempt, key = ml.info().idempotency_key }
end)
local beats = ml.activity("beats", { timeout = "60s", heartbeat = "5s", retry = { initial = "100ms", max_attempts = 2 } },
  function()
    local before = ml.info().heartbeat_details
    if before then return { before = before, attempt = ml.info().attempt } end
    ml.heartbeat { n = 1 }
    ml.heartbeat { n = 2 } -- throttled: it rides on the failure
    ml.fail("lost", { type = "Lost" })
  end)
local patient = ml.activity("patient", { timeout = "120s", heartbeat = "3s", retry = { max_attempts = 1 } }, function()
  for i = 1, 600 do
    ml.heartbeat(i)
    ml.sleep("200ms")
  end
end)
local large = ml.activity("large", { timeout = "20s", retry = { max_attempts = 2 } }, function(n) return ("x"):rep(n) end)
local later = ml.activity("later", { timeout = "120s" }, function() return ml.complete_later() end)
local quick = ml.local_activity("quick", { timeout = "20s" }, function(v) return v * 2 end)
local slow = ml.local_activity("slow", { timeout = "60s" }, function(ms)
  ml.sleep(ms / 1000)
  return "slept"
end)
local steady = ml.activity("steady", { timeout = "60s", heartbeat = "2s", retry = { initial = "100ms", max_attempts = 9 } }, function()
  if ml.info().attempt > 1 or ml.info().heartbeat_details then return { attempt = ml.info().attempt } end
  for i = 1, 250 do
    ml.heartbeat { at = i }
    ml.sleep("200ms")
  end
end)
local python = ml.activity("py_add", { timeout = "20s", retry = { max_attempts = 1 } })

ml.workflow("steps", function(n)
  local sum = 0
  for i = 1, n do sum = sum + echo(i) end
  return sum
end)

ml.workflow("timers", function()
  ml.sleep("300ms")
  local which = ml.race { function() ml.sleep("1h") end, function() ml.sleep("200ms") return "short" end }
  return which
end)

ml.workflow("messages", function(start)
  local n, log, done = start or 0, ml.list {}, false
  ml.on_signal("add", function(k) n = n + k end)
  ml.on_signal("note", function(t) log[#log + 1] = t end)
  ml.query("value", function(plus) return n + (plus or 0) end)
  ml.update("bump", function(k) n = n + k return n end, { validator = function(k) if k < 0 then ml.fail("no negative bumps") end end })
  ml.update("slow", function() ml.sleep("200ms") n = n + echo(100) return n end)
  ml.update("finish", function() done = true return "finished" end)
  ml.await(function() return done end)
  return { n = n, log = log }
end)

ml.workflow("retries", function() return flaky(3) end)
ml.workflow("beating", function() return beats() end)
ml.workflow("stuck", function()
  local ok, e = pcall(patient)
  return { ok = ok, type = e and e.type }
end)
ml.workflow("locals", function(n)
  local sum = 0
  for i = 1, n do sum = sum + quick(i) end
  return sum
end)
ml.workflow("family", function()
  local one = ml.child("steps")(3)
  local ok, e = pcall(function() return ml.child("failing")() end)
  return { one = one, ok = ok, cause = e.cause and e.cause.type, type = e.type }
end)
ml.workflow("failing", function() ml.fail("on purpose", { type = "Wanted", details = { why = 1 } }) end)
ml.workflow("chained", function(n)
  if n > 0 then ml.continue_as_new(n - 1) end
  return "end"
end)
ml.workflow("too_large", function(n)
  local ok, e = pcall(large, n)
  return { ok = ok, cause = e and e.cause and e.cause.type }
end)
ml.workflow("too_large_input", function(n) return echo(("x"):rep(n)) end)
ml.workflow("many_large", function(n, bytes)
  local each = {}
  for i = 1, n do each[i] = function() return measure(("x"):rep(bytes)) end end
  local sum = 0
  for _, size in ipairs((ml.all(each))) do sum = sum + size end
  return sum
end)
ml.workflow("outside", function() return later() end)
ml.workflow("other_queue", function(a, b, queue)
  local add = python:with { task_queue = queue }
  return { activity = add(a, b), child = ml.child("py_child", { task_queue = queue })(a) }
end)
ml.workflow("long", function(n)
  local got = 0
  ml.on_signal("tick", function() got = got + 1 end)
  ml.query("got", function() return got end)
  ml.await(function() return got >= n end)
  return got
end)
ml.workflow("terminal", function()
  local seen = 0
  ml.on_signal("late", function() seen = seen + 1 end)
  slow(1500)
  return seen
end)
ml.workflow("where", function() return ml.info().namespace end)
ml.workflow("slow_local", function(ms) return slow(ms) end)
ml.workflow("steered", function()
  local ok, e = pcall(steady)
  return { ok = ok, attempt = ok and e.attempt or nil }
end)
