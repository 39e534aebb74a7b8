-- What `scripts/crash --serve` kills: a durable tool that accepts jobs, each a row, a reservation, a key, an audit row and a run; some
-- jobs wait, some fail; those that end well write two rows of their own. LEDGER gets a line for each attempt of an effect.
local ml = require "moonloop"

local ledger = ml.env "LEDGER"
local effect = ml.activity("effect", { timeout = "10s", retry = { initial = "10ms" } }, function(id)
  ml.fs.append(tostring(ledger), ("%s %s\n"):format(id, ml.info().idempotency_key))
end)

local receipt = ml.activity("receipt", { timeout = "10s", retry = { initial = "10ms" } }, function(id)
  ml.db:update("jobs", id, { done = true })
  ml.db:insert("receipts", { id = id })
end)

ml.workflow("job", function(job)
  if job.n % 3 == 0 then ml.sleep(0.05) end
  effect(job.id)
  if job.n % 5 == 0 then ml.fail("this one fails", { type = "Refused", retryable = false }) end
  receipt(job.id)
  return job.n
end)

local accept = ml.tool {
  name = "accept", mode = "durable", scope = "jobs", cost = 3, input = ml.schema { n = "integer" },
  run = function(args, call)
    local job = call.db:insert("jobs", { n = args.n })
    return ml.accept { workflow = "job", id = "job:" .. job.id, entity = job.id, input = job, message = "job " .. args.n }
  end,
}

ml.migrate { jobs = { unique = { "n" } } }
local api = ml.api { auth = "bearer" }
api:post("/jobs", accept)
