-- What the libraries of every state keep in Lua, because it calls script code that may wait: ipairs, table.sort, load with a
-- reader. Loaded as bytecode into each new state with the table of C helpers; returns the function that indexes for
-- string.gsub (a table with __index as replacement). Small on purpose: it is paid for by every run.
local raw = ...
local type, error, pcall, tostring, concat = type, error, pcall, tostring, table.concat
local cload = raw.load

local function step(t, i)
  i = i + 1
  local v = t[i]
  if v ~= nil then return i, v end
end

function ipairs(...)
  local t = ...
  if t == nil then error("bad argument #1 to 'ipairs' (table expected, got " .. (select("#", ...) == 0 and "no value" or "nil") .. ")", 2) end
  return step, t, 0
end

function load(chunk, name, ...)
  if type(chunk) ~= "function" then return cload(chunk, name, ...) end
  local parts, n = {}, 0
  while true do
    local ok, part = pcall(chunk)
    if not ok then return nil, part end
    if part == nil or part == "" then break end
    if type(part) ~= "string" then return nil, "reader function must return a string" end
    n = n + 1
    parts[n] = part
  end
  return cload(concat(parts), name == nil and "=(load)" or name, ...)
end

-- A stable merge sort: the same order for the same input everywhere, and the comparison may wait. A comparison that
-- contradicts itself gives some order, never an error of indexing or an endless loop.
local function sort(a, n, less)
  local run = 8
  for from = 1, n, run do
    local to = from + run - 1
    if to > n then to = n end
    for i = from + 1, to do
      local v, j = a[i], i - 1
      while j >= from and less(v, a[j]) do
        a[j + 1] = a[j]
        j = j - 1
      end
      a[j + 1] = v
    end
  end
  local b = {}
  while run < n do
    for from = 1, n, 2 * run do
      local mid, to = from + run, from + 2 * run - 1
      if to > n then to = n end
      local i, j = from, mid
      for k = from, to do
        if i < mid and (j > to or not less(a[j], a[i])) then
          b[k] = a[i]
          i = i + 1
        else
          b[k] = a[j]
          j = j + 1
        end
      end
    end
    a, b = b, a
    run = run * 2
  end
  return a
end

local function plain(x, y) return x < y end

function table.sort(t, less)
  if type(t) ~= "table" then error("bad argument #1 to 'sort' (table expected, got " .. type(t) .. ")", 2) end
  if less ~= nil and type(less) ~= "function" then
    error("bad argument #2 to 'sort' (function expected, got " .. type(less) .. ")", 2)
  end
  local n, a = #t, {}
  if n >= 10000000 then error("table.sort: more than 10000000 elements", 2) end
  for i = 1, n do a[i] = t[i] end
  a = sort(a, n, less or plain)
  for i = 1, n do t[i] = a[i] end
end

return function(t, k) return t[k] end
