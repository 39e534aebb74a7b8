-- The contract of the interoperation tests, in Lua: peer.py and node/ say the same in Python and TypeScript's SDK.
local ml = require "moonloop"

local echo = ml.activity("echo", { timeout = "30s" }, function(v) return v end)
local boom = ml.activity("boom", { timeout = "30s" }, function(kind)
  ml.fail("it broke", { type = "Boom", retryable = false, details = { why = kind }, cause = { type = "Inner", message = "inside" } })
end)
local hang = ml.activity("hang", { timeout = "2m", heartbeat = "20s", cancel = "wait" }, function()
  while true do
    ml.heartbeat()
    ml.sleep("100ms")
  end
end)

-- What a failure of another's activity or child says; the outermost only names the call.
local function describe(e)
  local c = e.cause or {}
  return { type = c.type, message = c.message, details = c.details, inner = c.cause and c.cause.type, inside = c.cause and c.cause.message }
end

local function canceled(e) return e.type == "Canceled" or (e.cause ~= nil and e.cause.type == "Canceled") end

-- A null that stands alone is nil in Lua, which no table holds.
local function kept(v) return v == nil and ml.null or v end

ml.workflow("twice", function(v) return ml.list { kept(v), kept(v) } end)

ml.workflow("fails", function()
  ml.fail("it failed", { type = "Failed", retryable = false, details = { n = 1 }, cause = { type = "Inner", message = "inside" } })
end)

ml.workflow("waits", function() ml.sleep("1h") end)

ml.workflow("calls", function(queue, v)
  return { activity = kept(echo:with { task_queue = queue }(v)), child = ml.child("twice", { task_queue = queue })(v) }
end)

ml.workflow("catches", function(queue)
  local _, a = pcall(boom:with { task_queue = queue }, "asked")
  local _, c = pcall(ml.child("fails", { task_queue = queue }))
  return { activity = describe(a), child = describe(c) }
end)

ml.workflow("stops", function(queue)
  local child = ml.child("waits", { task_queue = queue, cancel = "wait" }):async()
  local activity = hang:with { task_queue = queue }:async()
  ml.sleep("1500ms")
  child:cancel()
  activity:cancel()
  local _, c = pcall(function() return child:await() end)
  local _, a = pcall(function() return activity:await() end)
  return { child = canceled(c), activity = canceled(a) }
end)

ml.workflow("messages", function(start)
  local n, done = start, false
  ml.on_signal("add", function(k) n = n + k end)
  ml.query("value", function() return n end)
  ml.update("bump", function(k) n = n + k return n end, { validator = function(k) if k < 0 then ml.fail("no negative bumps") end end })
  ml.on_signal("finish", function() done = true end)
  ml.await(function() return done end)
  return n
end)
