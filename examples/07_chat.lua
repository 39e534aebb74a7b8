-- Mode 1, live: a chat that answers while the caller waits, its tokens over server-sent events. Nothing is durable here: when the
-- process dies, the caller asks again.
--   OPENAI_API_KEY=... moonloop serve examples/07_chat.lua --port 8080
--   curl -N http://127.0.0.1:8080/chat -H 'Content-Type: application/json' -d '{"messages":[{"role":"user","content":"When is high tide at Dover?"}]}'
local ml = require "moonloop"

local tide_table = ml.tool {
  name = "tide_table", description = "The high tides of a day at a port", input = ml.schema { port = "string", day = "date?" },
  run = function(args)
    local first = #args.port % 12
    return { port = args.port, day = args.day or ml.now():sub(1, 10), high = { ("%02d:10"):format(first), ("%02d:35"):format(first + 12) } }
  end,
}

local assistant = ml.agent {
  name = "assistant", model = ml.env("MODEL", "openai:gpt-4.1-mini"), instructions = "You help sailors. Answer in two sentences.",
  tools = { tide_table }, limits = { turns = 6, tokens = 20000, time = "60s" },
}

local api = ml.api()

-- The whole conversation comes with each request. What goes out: events text, reasoning, tool_call, tool_result, done.
api:post("/chat", { input = ml.schema { messages = "message[]" } }, function(req)
  return assistant:stream(req.input.messages)
end)

-- The same without a stream, for callers that want the answer alone.
api:post("/ask", { input = ml.schema { question = "string<=2000" } }, function(req)
  local answer, took = assistant:run(req.input.question)
  return { answer = answer, tokens = took.usage.input + took.usage.output }
end)
