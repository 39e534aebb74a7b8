-- run-side: all race saga
-- ml.all, ml.race and ml.saga: written over spawned coroutines, futures and core.settle. A group is a scope: whatever way
-- it is left, its members have ended before. Loaded by the moonloop table of a run when one of the names is first used.
local core = require "moonloop.core"
local flow = {}

-- Futures of a list of futures and functions; functions are spawned.
local function members(list, name)
  if type(list) ~= "table" then error(name .. " takes a list of futures or functions", 3) end
  local futures = {}
  for i = 1, #list do
    local m = list[i]
    futures[i] = core.is_future(m) and m or core.spawn(m)
  end
  return futures
end

-- Ends what is not done and waits for it, also while an error or a cancellation unwinds.
local function ending(futures, reason)
  return setmetatable({}, { __close = function()
    local open = false
    for i = 1, #futures do
      if not futures[i]:done() then
        open = true
        futures[i]:cancel(reason)
      end
    end
    if open then core.settle(futures, "all") end
  end })
end

--- Waits for all; the results as a list in order, and their number (a nil result leaves a hole). The first failure is
--- raised, after the others were cancelled and have ended.
function flow.all(list)
  local futures = members(list, "ml.all")
  local n = #futures
  local results = core.list {}
  local _ <close> = ending(futures, "another member of ml.all failed")
  local failed = core.settle(futures, "failed")
  if failed then futures[failed]:await() end
  for i = 1, n do results[i] = futures[i]:await() end
  return results, n
end

--- Waits for the first to be done: its index and its results, or its failure raised. The others are cancelled and have
--- ended before this returns.
function flow.race(list)
  local futures = members(list, "ml.race")
  if #futures == 0 then error("ml.race needs at least one member", 2) end
  local _ <close> = ending(futures, "another member of ml.race was first")
  local first = core.settle(futures, "any")
  return first, futures[first]:await()
end

local saga = {}
flow.classes = { saga = saga }

--- Remembers what undoes the step that was just done; it is called with the arguments given here.
function saga:compensate(fn, ...)
  local kind = type(fn) -- an activity is a value that can be called
  if kind ~= "function" and kind ~= "userdata" and kind ~= "table" then error("saga:compensate takes a function", 2) end
  self[#self + 1] = table.pack(fn, ...)
end

local function undo(s)
  for i = #s, 1, -1 do
    local step = s[i]
    s[i] = nil
    local ok, err = pcall(step[1], table.unpack(step, 2, step.n))
    if not ok then core.warn("a compensation of ml.saga failed: " .. tostring(err)) end
  end
end

--- Calls fn(s); when it fails or is cancelled, runs the compensations in reverse order, shielded, and raises again what
--- ended it. A compensation that fails is logged, the others still run.
function flow.saga(fn)
  local s = setmetatable({}, { __index = saga })
  local kept = false
  local _ <close> = setmetatable({}, { __close = function()
    if not kept and #s > 0 then core.shield(undo, s) end
  end })
  local results = table.pack(fn(s))
  kept = true
  return table.unpack(results, 1, results.n)
end

return flow
