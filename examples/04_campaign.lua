-- A two-week campaign that changes its posting frequency by its results: signals, a query, an update, children.
--   moonloop run examples/04_campaign.lua --workflow campaign --clock virtual --input '{"days":14}'
--   moonloop signal ID feedback '{"score":9}' | query ID plan | update ID budget 20
local ml = require "moonloop"

local measure = ml.activity("measure", { timeout = "10s" }, function(name, day)
  return { score = (#name * 7 + day * 13) % 10 }
end)

local write_post = ml.activity("write_post", { timeout = "10s", retry = { max_attempts = 3 } }, function(name, n)
  return ("%s, part %d"):format(name, n)
end)

ml.workflow("post", function(job)
  local text = write_post(job.name, job.n)
  ml.sleep("30m") -- time for a person to look at it
  return { text = text, at = ml.now() }
end)

ml.workflow("campaign", function(plan)
  plan = plan or {}
  local name, days = plan.name or "Tides", plan.days or 14
  local per_day, budget, posted, scores = 1, plan.budget or 30, 0, ml.list {}
  local stopped = false

  ml.on_signal("feedback", function(f) scores[#scores + 1] = f.score end)
  ml.on_signal("stop", function() stopped = true end)
  ml.query("plan", function() return { per_day = per_day, budget = budget, posted = posted } end)
  ml.update("budget", function(n)
    budget = n
    return { budget = budget, left = budget - posted }
  end, { validator = function(n)
    if math.type(n) ~= "integer" or n < posted then ml.fail("the budget is a whole number, at least what was posted: " .. posted, { type = "BadBudget" }) end
  end })

  for day = 1, days do
    local jobs = {}
    for i = 1, per_day do
      if posted < budget then
        posted = posted + 1
        jobs[i] = ml.child("post", { id = ml.info().workflow_id .. "/" .. posted }):async { name = name, n = posted }
      end
    end
    ml.all(jobs)
    scores[#scores + 1] = measure(name, day).score
    local last = scores[#scores]
    if last >= 7 then per_day = math.min(per_day + 1, 4) elseif last <= 2 then per_day = math.max(per_day - 1, 1) end
    if day < days and ml.await(function() return stopped end, "1d") then break end
  end
  return { posted = posted, per_day = per_day, scores = scores, stopped = stopped }
end)
