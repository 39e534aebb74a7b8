-- attack: every reachable library function with absurd arguments
-- expect: value true
-- where: workflow
local seen, n = {[error] = true}, 0
local skip = {continue_as_new = true, fail = true, sleep = true, sleep_until = true, every = true, await = true, receive = true, workflow = true, activity = true, local_activity = true, wrap = true, yield = true}
local absurd = {nil, -1, math.maxinteger, math.mininteger, 0 / 0, math.huge, '', ('x'):rep(1000), '%s%p%d', {}, setmetatable({}, {__index = error, __len = error, __call = error}), print, ml.null, ml.bytes('x'), coroutine.create(print), false}
local function try(f) for i = 1, 16 do for j = 1, 16, 3 do n = n + 1 pcall(f, absurd[i], absurd[j], absurd[(i + j) % 16 + 1]) end end end
local function walk(t, depth)
  if seen[t] or depth > 4 then return end seen[t] = true
  for k, v in pairs(t) do
    if type(v) == 'function' and not seen[v] and not skip[k] then seen[v] = true try(v)
    elseif type(v) == 'table' and k ~= 'loaded' and k ~= '_G' and k ~= 'preload' then walk(v, depth + 1) end end end
for _, lib in ipairs {string, table, math, utf8, coroutine, os, ml.json, ml.time or {}, ml.crypto or {}, debug} do walk(lib, 1) end
for _, f in ipairs {tostring, tonumber, rawget, rawset, rawlen, rawequal, setmetatable, getmetatable, select, next, pairs, ipairs, load, type, assert, pcall, xpcall, collectgarbage} do try(f) end
return n > 1000
