-- An approval that waits days for a person, reminds after one day, and gives up after three.
--   moonloop run examples/06_approval.lua --id refund-7 --input '{"amount":120}'      (in one terminal)
--   moonloop signal refund-7 decision '{"approved":true,"by":"Ada"}'                   (in another)
local ml = require "moonloop"

local notify = ml.activity("notify", { timeout = "10s", retry = { max_attempts = 5 } }, function(who, text)
  ml.log.info("notify", { who = who, text = text })
  return true
end)

local refund = ml.activity("refund", { timeout = "30s", retry = { max_attempts = 1 } }, function(amount)
  return { receipt = "refund-" .. ml.info().idempotency_key:sub(1, 8), amount = amount }
end)

ml.workflow("approval", function(request)
  local state = "waiting"
  ml.query("state", function() return state end)
  local decisions = ml.channel("decision")
  local deadline = ml.time.add(ml.now(), request.patience or "3d")

  notify("manager", ("Refund of %d wants a decision"):format(request.amount))
  local ok, decision = decisions:receive { timeout = request.remind or "1d" }
  if not ok then
    state = "reminded"
    notify("manager", "Reminder: a refund waits for you")
    ok, decision = decisions:receive { till = deadline }
  end
  if not ok then
    state = "expired"
    return { state = state }
  end
  state = decision.approved and "approved" or "rejected"
  if not decision.approved then return { state = state, by = decision.by } end
  return { state = state, by = decision.by, receipt = refund(request.amount).receipt }
end)
