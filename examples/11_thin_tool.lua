-- The thin tool: the agent runs in this process, what it commits to is accepted by the API of another one (10_schedule_post.lua). The tool
-- checks its arguments and posts them with an Idempotency-Key; what the API accepted is what the model is told.
-- It listens on this machine only: whoever may ask it spends POSTS_TOKEN. For others give the route an auth.
--   POSTS_API=http://localhost:8080/content/schedule-post POSTS_TOKEN=ml_... OPENAI_API_KEY=... moonloop serve examples/11_thin_tool.lua --port 8081
--   curl -N --json '{"messages":[{"role":"user","content":"Post a picture of the tide tomorrow at eight"}]}' localhost:8081/chat
local ml = require "moonloop"

local schedule_post = ml.tool {
  name = "schedule_post", description = "Publish a post at a time. It is accepted at once and published when the time has come.", mode = "durable",
  input = ml.schema { platform = { "x", "linkedin" }, caption = "string<=280", scheduledAt = "datetime", assetUrl = "url" },
  remote = ml.env "POSTS_API", auth = ml.secret "POSTS_TOKEN",
}

local assistant = ml.agent {
  name = "assistant", model = ml.model "openai:gpt-4.1-mini", tools = { schedule_post },
  instructions = "You schedule posts. What a tool has accepted is scheduled, not published: say so.", limits = { turns = 6, tool_calls = 4 },
}

ml.api():post("/chat", { input = ml.schema { messages = "message[]" }, timeout = "2m" }, function(req) return assistant:stream(req.input.messages) end)

return { schedule_post = schedule_post }
