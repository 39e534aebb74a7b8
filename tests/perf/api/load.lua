-- luacheck: globals setup init request done, read globals wrk number
-- wrk's script for scripts/bench --api. Accepting: POST with a key of its own for each request; else GET. Prints its figures as JSON.
-- wrk -s load.lua URL -- [body RUN]: RUN makes the keys differ from those of other runs. TOKEN (environment): the bearer token.
local body, run, threads = nil, nil, 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local n = 0
function init(args)
  body = args[1]
  run = tostring(args[2])
end

function request()
  if not body then return wrk.format("GET") end
  n = n + 1
  return wrk.format("POST", nil, { ["Content-Type"] = "application/json", Authorization = os.getenv "TOKEN" and "Bearer " .. os.getenv "TOKEN" or nil,
    ["Idempotency-Key"] = ("%s-%d-%d"):format(run, number, n) }, body)
end

function done(summary, latency)
  local e = summary.errors
  io.write(("{\"requests\":%d,\"seconds\":%.6f,\"failed\":%d,\"p50_ms\":%.4f,\"p99_ms\":%.4f}\n"):format(summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
