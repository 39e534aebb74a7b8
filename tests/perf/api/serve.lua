-- The workload of scripts/bench --api: routes of `moonloop serve`.
local ml = require "moonloop"

local api = ml.api()

api:get("/hello/{name}", function(req) return { hello = req.params.name } end)

-- Each token as it comes from the model.
api:post("/chat", function(req)
  local ask = req:json()
  local model = ml.model("openai:fake", { base_url = ml.env "MODEL_URL", api_key = ml.env "MODEL_KEY" })
  return ml.stream(function(send)
    for event in ml.llm.stream { model = model, messages = ask.text } do
      if event.type == "text" then send { data = event.text } end
    end
  end)
end)

-- A listener: one event when it comes, one every so many seconds.
api:get("/events", function(req)
  local every = tonumber(req.query.every)
  return ml.stream(function(send)
    send { event = "hello", data = "" }
    while true do
      ml.sleep(every)
      send { event = "tick", data = "" }
    end
  end)
end)

ml.workflow("publish", function(post) return post.caption end)

local post = ml.schema { caption = "string<=280", at = "datetime" }

-- Accepted with its key, audit row and run in one transaction.
api:post("/accept", { auth = "bearer", scope = "posts:write", input = post, idempotency = "required" }, function(req)
  return ml.accept { workflow = "publish", input = req.input }
end)
