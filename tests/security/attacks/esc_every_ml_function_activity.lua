-- attack: every function of ml in an activity with absurd arguments
-- expect: value true
-- where: activity
local absurd = {nil, -1, math.mininteger, 0 / 0, -math.huge, '', ('x'):rep(1000), '\0\xff', {}, setmetatable({}, {__index = error, __call = error}), print, ml.null, ml.bytes('x'), coroutine.create(print), false}
local n, seen = 0, {}
local function try(f) for i = 1, 15, 2 do for j = 1, 15, 4 do n = n + 1 pcall(f, absurd[i], absurd[j]) end end end
for _, lib in ipairs {'json', 'time', 'crypto', 'http', 'fs', 'store', 'log'} do local ok, t = pcall(function() return ml[lib] end)
  if ok and type(t) == 'table' then for k, f in pairs(t) do if type(f) == 'function' and not tostring(k):find('remove') then try(f) end end end end
for _, name in ipairs {'list', 'bytes', 'secret', 'env', 'info', 'heartbeat', 'spawn', 'oauth2', 'uuid', 'now', 'workflow', 'activity', 'setup', 'child', 'query'} do
  local ok, f = pcall(function() return ml[name] end) if ok and f then try(f) end end
return n > 50
