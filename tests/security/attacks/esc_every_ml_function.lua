-- attack: every function of ml with absurd arguments
-- expect: value true
-- where: workflow
local names = {'list', 'bytes', 'channel', 'on_signal', 'query', 'update', 'child', 'external', 'spawn', 'all', 'race', 'timeout', 'shield', 'saga', 'side_effect', 'uuid', 'random', 'patched',
  'info', 'now', 'search_attributes', 'memo', 'secret', 'env', 'setup', 'http', 'store', 'fs', 'process', 'heartbeat', 'signal', 'start', 'workflow', 'activity', 'local_activity', 'every', 'sleep', 'sleep_until'}
local absurd = {nil, -1, math.mininteger, 0 / 0, -math.huge, '', ('x'):rep(1000), '\0\xff', {}, setmetatable({}, {__index = error, __call = type}), print, ml.null, ml.bytes('x'), coroutine.create(print), false}
local n = 0
for _, name in ipairs(names) do local ok, f = pcall(function() return ml[name] end)
  if ok and f then for i = 1, 15 do for j = 1, 15, 4 do n = n + 1 pcall(ml.timeout, 0.001, function() return pcall(f, absurd[i], absurd[j]) end) end end end end
return n > 100
