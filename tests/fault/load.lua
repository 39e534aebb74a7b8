-- The load of scripts/faults: about 200 steps that use each kind of thing a run can do, in an order that chance does not change. Two runs
-- in a chain, one child, signals from outside and from a run, updates, parallel activities, cancelled timers, large payloads, a growing list.
local ml = require "moonloop"

local note = ml.activity("note", { timeout = "5m", retry = { initial = "10ms", max = "10ms" } }) -- in C, counted by the program that runs the load
local once = ml.activity("once", { timeout = "5m", retry = { max_attempts = 1 } })               -- in C; may never run twice
local soon = { timeout = "5m", retry = { initial = "10ms", max = "10ms" } }

local double = ml.activity("double", soon, function(n) return 2 * n end)
local flaky = ml.activity("flaky", soon, function(n)
  if ml.info().attempt == 1 then ml.fail("not yet", { type = "NotYet" }) end
  return n
end)
local slow = ml.activity("slow", soon, function(n)
  ml.heartbeat { at = n }
  ml.sleep("5ms")
  return n
end)
local big = ml.activity("big", soon, function(n) return { n = n, text = ("%05d "):format(n):rep(2000) } end)
local measure = ml.activity("measure", soon, function(list) return #list end)
local kept = ml.activity("kept", soon, function(n)
  ml.store.set("load", "n" .. n, n)
  return ml.store.get("load", "n" .. n)
end)
local fetch = ml.activity("fetch", soon, function(url) return ml.http.get(url):ok():json().n end)
local inside = ml.local_activity("inside", { timeout = "10s" }, function(n) return n + 1 end)

local touch = ml.activity("touch", soon, function(path) return #ml.fs.read(path) > 0 end)
local spawn = ml.activity("spawn", soon, function() return ml.process.run({ "true" }):ok().code end)

-- One step of each kind; `k` only makes them different.
local kinds = {
  function(k) return note(k) end,
  function(k) return double(k) end,
  function(k) ml.sleep("1m") return k end,
  function(k) return big(k).n end,
  function(k) return inside(k) end,
  function(k) return ml.side_effect(function() return k end) end,
  function(k) return flaky(k) end,
  function(k)
    local r = ml.all { double:async(k), slow:async(k), function() ml.sleep("1s") return k end }
    return r[1] + r[2] + r[3]
  end,
  function(k)
    ml.race { function() ml.sleep("1h") end, function() ml.sleep("1s") end }
    return k
  end,
  function(k) return kept(k) end,
  function(k)
    pcall(once, k)
    return k
  end,
  function(k)
    local ok = ml.timeout("1s", function() ml.sleep("1d") end)
    return ok and 0 or k
  end,
}

ml.workflow("kid", function(p)
  local sum = 0
  for i = 1, p.steps do sum = sum + kinds[(i - 1) % 6 + 1](1000 + i) end
  local _, v = ml.channel("nudge"):receive()
  return sum + v
end)

ml.workflow("late", function(p) return double(p.n) end)

ml.workflow("main", function(p)
  local total, added, pokes = p.total or 0, p.added or 0, ml.list(p.pokes or {})
  local seen, list, first = {}, ml.list {}, p.second and 500 or 0
  for _, v in ipairs(pokes) do seen[v] = true end
  ml.query("total", function() return total end)
  ml.update("add", function(n)
    if not p.second then added = added + n end
    return added
  end)
  ml.on_signal("poke", function(v)
    if not seen[v] then
      seen[v] = true
      pokes[#pokes + 1] = v
    end
  end)
  local kid = not p.second and ml.child("kid", { id = "kid" }):start { steps = p.steps // 3 }
  for i = 1, p.steps do
    total = total + kinds[(i - 1) % #kinds + 1](first + i)
    if i % 10 == 0 then
      list[#list + 1] = { i = i, text = ("element %d "):format(i):rep(120) }
      total = total + measure(list)
    end
  end
  for _ = 1, p.outside and 6 or 0 do assert(touch(p.outside) and spawn() == 0) end
  if not p.second then
    if p.url then total = total + fetch(p.url) end
    ml.external("kid"):signal("nudge", 7)
    total = total + kid:result()
    ml.await(function() return #pokes == p.n_pokes and added == 5 end)
    ml.continue_as_new { second = true, outside = p.outside, steps = p.steps, total = total, added = added, pokes = pokes }
  end
  table.sort(pokes)
  return { total = total, added = added, pokes = pokes }
end)
