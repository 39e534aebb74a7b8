-- Routes for crowd.py: each answer bears what only its own request said.
local ml = require "moonloop"

local api = ml.api { max_body = 300000, timeout = "60s" }

api:get("/echo/{id}", function(req) return { id = req.params.id, header = req.headers["x-id"], query = req.query.q } end)

api:post("/echo/{id}", function(req)
  ml.sleep(#req.body % 7 / 1000) -- answers are not made in the order of the requests
  return ml.response { body = req.params.id .. " " .. req.body, headers = { ["X-Id"] = req.headers["x-id"] } }
end)

api:static("/files", "files")

-- One event that is more than the kernel and the server hold for a reader.
api:get("/event", function() return function(send) send { id = 1, data = ("x"):rep(8 << 20) } end end)

api:get("/stream/{id}", function(req)
  local line = (req.params.id .. " "):rep(1000 // (#req.params.id + 1)) .. "\n"
  return ml.stream(function(send)
    for i = 1, tonumber(req.query.lines) do send(line:sub(1, -2) .. i .. "\n") end
  end)
end)
