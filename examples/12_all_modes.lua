-- All three modes in one process: an agent that answers in a chat (1), a tool that commits through the API (2), and a loop that lives for
-- weeks and uses the same tool (3). The routes and the workflow of 10_schedule_post.lua are part of it.
--   moonloop token create --scope chat,posts:write --credits 1000
--   (the environment of 10) OPENAI_API_KEY=... moonloop serve examples/12_all_modes.lua
local ml = require "moonloop"
local posts = require "10_schedule_post"

local read_numbers = ml.tool {
  name = "read_numbers", description = "Likes and views of one day", input = ml.schema { day = "integer>=0" },
  run = function(args) return { day = args.day, likes = args.day * 37 % 100, views = 1000 + args.day * 61 } end,
}

local planner = ml.agent {
  name = "planner", model = ml.model "openai:gpt-4.1-mini", tools = { read_numbers, posts.schedule_post },
  instructions = "Look at yesterday's numbers, then schedule one post.", limits = { turns = 8, tokens = 50000 },
}

-- Every model call and every tool call is an activity, recorded once. It acts for the key that started it: its scopes, its credits.
ml.workflow("content_loop", function(goal)
  local day, said = goal.day or 1, goal.said or ml.list {}
  while day <= goal.days do
    said[#said + 1] = planner:run(("Day %d. %s"):format(day, goal.prompt))
    day = day + 1
    if day <= goal.days then ml.every(goal.period or "1d") end
    if ml.info().continue_as_new_suggested then
      ml.continue_as_new { day = day, days = goal.days, period = goal.period, prompt = goal.prompt, said = said }
    end
  end
  return { days = day - 1, said = said }
end)

local start_loop = ml.tool {
  name = "start_loop", description = "Plan and schedule a post each day, for some days", mode = "durable", scope = "posts:write",
  input = ml.schema { days = "integer>=1", prompt = "string<=1000", period = "string?" },
  run = function(args) return ml.accept { workflow = "content_loop", input = args, message = ("For %d days"):format(args.days) } end,
}

local api = ml.api { auth = "bearer" }
api:post("/content/loops", start_loop)
api:post("/chat", { scope = "chat", input = ml.schema { messages = "message[]" }, timeout = "2m" }, function(req)
  return planner:stream(req.input.messages, { context = { principal = req.principal, scopes = req.scopes } }) -- its tools act for the caller
end)
