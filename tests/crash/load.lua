-- The mixed load that scripts/crash kills: every kind of step, ended by a result that tells all a run was given.
-- Activities append a line to LEDGER for each attempt, before anything else: "name workflow-id iteration attempt key".
local ml = require "moonloop"

local ledger = ml.env("LEDGER", "")
local function note(name, iteration)
  local path = tostring(ledger)
  if path == "" then return end
  local i = ml.info()
  ml.fs.append(path, ("%s %s %d %d %s\n"):format(name, i.workflow_id, iteration, i.attempt, i.idempotency_key))
end

-- Tried until it works; by plan it fails once in three.
local many = ml.activity("many", { timeout = "20s", retry = { max_attempts = 1000, initial = "5ms", backoff = 1 } }, function(iteration, salt)
  note("many", iteration)
  if ml.info().attempt == 1 and (iteration + salt) % 3 == 0 then ml.fail("by plan", { type = "Planned" }) end
  ml.sleep(0.002)
  return iteration
end)
-- Never tried twice: what a kill interrupts is told to the workflow as lost.
local once = ml.activity("once", { timeout = "20s", retry = { max_attempts = 1 } }, function(iteration)
  note("once", iteration)
  ml.sleep(0.004)
  return iteration
end)
local short = ml.local_activity("short", { timeout = "5s" }, function(iteration) return iteration end)

ml.workflow("kid", function(iteration)
  ml.sleep(0.003)
  return many(iteration, 1)
end)

ml.workflow("quick", function(n)
  ml.sleep(0.005)
  return { n = n, done = many(n, 0) }
end)

-- One iteration has each kind of step; then the run continues as new with what it was told so far.
ml.workflow("mix", function(state)
  local items, bumps = state.items, state.bumps
  ml.on_signal("item", function(n) items[#items + 1] = n end)
  local working = 0
  ml.update("bump", function(n)
    working = working + 1
    ml.sleep(0.006)
    bumps[#bumps + 1] = n
    working = working - 1
    return #bumps
  end)
  ml.query("count", function() return #items end)
  local pokes = ml.channel("poke")
  local i, lost = state.i, state.lost
  ml.sleep(0.002 + (i * 7 + state.salt) % 10 / 1000)
  assert(many(i, state.salt) == i)
  local ok, e = pcall(once, i)
  if not ok then
    if not (e.cause and e.cause.type:match("^Worker")) then ml.fail(e) end -- lost by a kill, or its owner stopped
    lost = lost + 1
  end
  local chance = ml.side_effect(function() return math.random(1000) end)
  assert(short(i) == i)
  assert(ml.child("kid", { id = ("%s-kid-%d"):format(ml.info().workflow_id, i) })(i) == i)
  if state.peer then pcall(function() ml.external(state.peer):signal("poke", i) end) end
  pokes:receive { timeout = 0.003 }
  ml.race { function() ml.sleep("1h") end, function() ml.sleep(0.002) end }
  ml.await(function() return working == 0 end)
  if i < state.to then
    ml.continue_as_new { i = i + 1, to = state.to, salt = state.salt, peer = state.peer, items = items, bumps = bumps, lost = lost, chance = chance }
  end
  return { iterations = i, items = items, bumps = bumps, lost = lost }
end)

-- Drives the mixes: they are its children.
ml.workflow("boss", function(input)
  local all = {}
  for k = 1, input.mixes do
    local id = ("%s-mix-%d"):format(ml.info().workflow_id, k)
    local peer = ("%s-mix-%d"):format(ml.info().workflow_id, k % input.mixes + 1)
    all[k] = ml.child("mix", { id = id }):async { i = 1, to = input.iterations, salt = k, peer = peer, items = ml.list {}, bumps = ml.list {}, lost = 0 }
  end
  local out = ml.list {}
  for k, f in ipairs(all) do out[k] = f:await() end
  return out
end)
