-- What `scripts/crash --serve --temporal` kills: tests/crash/serve.lua with its runs on a server, where an activity writes no rows.
local ml = require "moonloop"

local ledger = ml.env "LEDGER"
local effect = ml.activity("effect", { timeout = "5s", retry = { initial = "10ms" } }, function(id)
  ml.fs.append(tostring(ledger), ("%s %s\n"):format(id, ml.info().idempotency_key))
end)

ml.workflow("job", function(job)
  if job.n % 3 == 0 then ml.sleep(0.05) end
  effect(job.id)
  if job.n % 5 == 0 then ml.fail("this one fails", { type = "Refused", retryable = false }) end
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
