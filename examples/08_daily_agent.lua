-- Mode 3: the agent itself lives for days. Each morning it reads yesterday's numbers, plans, and publishes with its own tools; every
-- model call and every tool call is an activity, recorded once. Kill the process at any moment and run the same command again.
--   OPENAI_API_KEY=... moonloop run examples/08_daily_agent.lua --clock virtual --input '{"days":14,"period":"1d"}'
local ml = require "moonloop"

-- An outside record of what was really done, one line an effect.
local ledger = ml.env("LEDGER", "")
local function effect(...)
  local path = tostring(ledger)
  if path ~= "" then ml.fs.append(path, table.concat({ ... }, " ") .. "\n") end
end

local read_numbers = ml.tool {
  name = "read_numbers", description = "Views and likes of one day", input = ml.schema { day = "integer" },
  run = function(args) return { day = args.day, views = 1000 + args.day * 61, likes = (args.day * 37) % 100 } end,
}

local publish = ml.tool {
  name = "publish_post", description = "Publish a post now", input = ml.schema { platform = { "x", "linkedin" }, text = "string<=280" },
  retry = { max_attempts = 5, initial = "200ms" },
  run = function(args)
    effect("publish", ml.info().idempotency_key, args.platform)
    return { url = "https://example.invalid/" .. args.platform .. "/" .. ml.info().idempotency_key:sub(1, 8) }
  end,
}

local planner = ml.agent {
  name = "planner", model = ml.env("MODEL", "openai:gpt-4.1-mini"),
  instructions = "Each day: read yesterday's numbers, publish one post that fits them, then answer with what you learned.",
  tools = { read_numbers, publish }, output = ml.schema { idea = "string", posts = "url[]" },
  limits = { turns = 8, tokens = 50000, cost = "0.50 USD" }, -- of one day; when it is reached the run waits and asks (moonloop approvals)
}

ml.workflow("daily_agent", function(goal)
  goal = goal or {}
  local day, ideas, spent = goal.day or 1, goal.ideas or ml.list {}, goal.spent or 0
  ml.query("progress", function() return { day = day, ideas = #ideas, nano_usd = spent } end)
  while day <= (goal.days or 14) do
    local plan, took = planner:run(("It is day %d. %s"):format(day, goal.prompt or "The account is about the sea."))
    ideas[#ideas + 1] = plan.idea
    spent = spent + took.usage.nano_usd
    ml.log.info("planned", { day = day, idea = plan.idea, turns = took.turns })
    day = day + 1
    if day <= (goal.days or 14) then ml.every(goal.period or "1d") end
    if ml.info().continue_as_new_suggested then
      ml.continue_as_new { days = goal.days, period = goal.period, prompt = goal.prompt, day = day, ideas = ideas, spent = spent }
    end
  end
  return { days = day - 1, ideas = ideas, nano_usd = spent }
end)
