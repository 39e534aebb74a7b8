-- Media ingest: real programs on a real file (sox's `soxi` and `sox`), a transcript, metadata, a queue for review.
--   moonloop run examples/05_media_ingest.lua --input '{"file":"talk.wav"}'
local ml = require "moonloop"

local probe = ml.activity("probe", { timeout = "30s", retry = { max_attempts = 2 } }, function(file)
  if not ml.fs.exists(file) then ml.fail("no file " .. file, { type = "FileMissing", retryable = false }) end
  local function ask(flag) return ml.process.run { "soxi", flag, file, check = true }.stdout:match("^%s*(.-)%s*$") end
  return { rate = math.tointeger(tonumber(ask("-r"))), channels = math.tointeger(tonumber(ask("-c"))), seconds = tonumber(ask("-D")) }
end)

local normalise = ml.activity("normalise", { timeout = "5m", heartbeat = "30s" }, function(file)
  local out = ml.info().idempotency_key .. ".wav" -- the same name on every attempt
  local path = (file:match("^(.*/)") or "") .. out
  ml.heartbeat { step = "sox" }
  ml.process.run { "sox", file, "-r", "16000", "-c", "1", path, "norm", "-1", check = true, timeout = "4m" }
  return path
end)

local loudness = ml.activity("loudness", { timeout = "1m" }, function(file)
  local text = ml.process.run { "sox", file, "-n", "stat", check = true }.stderr
  return { rms = tonumber(text:match("RMS%s+amplitude:%s+([%d.]+)")), peak = tonumber(text:match("Maximum amplitude:%s+([%d.]+)")) }
end)

-- The place of a speech-to-text service: a worker in any language may define `transcribe` instead.
local transcribe = ml.activity("transcribe", { timeout = "10m", heartbeat = "1m" }, function(file, seconds)
  local parts = ml.list {}
  for i = 1, math.max(1, math.ceil(seconds / 30)) do
    ml.heartbeat { part = i }
    parts[i] = ("[%s, part %d: no speech service is set up]"):format(file:match("[^/]+$"), i)
  end
  return table.concat(parts, "\n")
end)

local queue_review = ml.activity("queue_review", { timeout = "10s" }, function(item)
  ml.store.namespace("review"):set(item.id, item)
  return item.id
end)

ml.workflow("media_ingest", function(input)
  local meta = probe(input.file)
  local clean = normalise(input.file)
  local results = ml.all { transcribe:async(clean, meta.seconds), loudness:async(clean) }
  local item = { id = ml.info().workflow_id, file = input.file, meta = meta, transcript = results[1], loudness = results[2] }
  queue_review(item)
  return item
end)
