-- What the tests of the payload codec run (tests/temporal/codec_test.py). Every value that must not be seen holds "SECRET".
local ml = require "moonloop"

local echo = ml.activity("echo", { timeout = "20s" }, function(v) return v end)
local breaks = ml.activity("breaks", { timeout = "20s", heartbeat = "10s", retry = { initial = "100ms", max_attempts = 2 } }, function(v)
  local before = ml.info().heartbeat_details
  if before then ml.fail("SECRET again: " .. before, { type = "Known", details = { v, before } }) end
  ml.heartbeat("SECRET-BEAT")
  ml.fail("SECRET first", { type = "Once" })
end)
local quick = ml.local_activity("quick", { timeout = "20s" }, function(v) return v .. "-local" end)
local python = ml.activity("py_upper", { timeout = "20s", retry = { max_attempts = 1 } })

ml.workflow("everything", function(input, queue)
  local log, done = ml.list {}, false
  local function add(t) log[#log + 1] = t end -- not log[#log + 1] = wait(): handlers add while it waits
  ml.on_signal("note", add)
  ml.query("log", function(prefix) return (prefix or "") .. table.concat(log, ",") end)
  ml.query("bad", function() ml.fail("SECRET query", { type = "Bad" }) end)
  ml.update("add", function(t)
    add(t)
    return "SECRET-UPDATE-" .. t
  end, { validator = function(t) if t == "no" then ml.fail("SECRET refused", { type = "Refused" }) end end })
  ml.update("finish", function() done = true end)
  ml.memo { progress = "SECRET-MEMO" }
  add(echo(input.word))
  add(quick("SECRET-QUICK"))
  add(ml.side_effect(function() return "SECRET-SIDE" end))
  if ml.patched("SECRETLESS-patch") then add("patched") end
  add(ml.child("kid")("SECRET-KID"))
  local ok, e = pcall(breaks, "SECRET-ARGUMENT")
  add(tostring(ok) .. " " .. e.cause.type .. " " .. e.cause.message .. " " .. e.cause.details[1])
  if queue then
    add(python:with { task_queue = queue }("SECRET-py"))
    local fine, f = pcall(python:with { task_queue = queue }, "fail")
    add(tostring(fine) .. " " .. f.cause.message .. " " .. tostring(f.cause.details))
  end
  ml.await(function() return done end)
  return { log = log }
end)
ml.workflow("kid", function(v) return v .. "-grown" end)
ml.workflow("fails", function(v) ml.fail("SECRET-END " .. v, { type = "Ended", details = { v } }) end)
ml.workflow("crashes", function()
  error("SECRET-FIELD")
end)
ml.workflow("waits", function(v)
  local got
  ml.on_signal("go", function(x) got = x end)
  ml.query("has", function() return v end)
  ml.await(function() return got end)
  return v .. "+" .. echo(got)
end)
ml.workflow("same", function(v) return v end)
ml.workflow("through", function(v) return echo(v) end)
ml.workflow("chain", function(at)
  if at.left > 0 then ml.continue_as_new { text = at.text .. at.left, left = at.left - 1 } end
  return at.text
end)
