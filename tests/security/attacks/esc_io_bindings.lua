-- attack: files, processes, network and store inside a workflow
-- expect: value {}
-- where: workflow
local bad = {}
for name, f in pairs {http = function() ml.http.get('http://127.0.0.1:1') end, fs = function() ml.fs.read('/etc/passwd') end,
  process = function() ml.process.run({'true'}) end, store = function() ml.store.set('a', 1) end, heartbeat = function() ml.heartbeat() end} do
  local ok, why = pcall(f) if ok then bad[name] = 'worked' end end
return bad
