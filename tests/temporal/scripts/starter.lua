-- A worker whose activity starts a workflow that the same worker serves, and asks it.
local ml = require "moonloop"

ml.workflow("kept", function(input)
  local n = input
  ml.query("n", function() return n end)
  ml.on_signal("add", function(k) n = n + k end)
  ml.channel("stop"):receive()
  return n
end)

local drive = ml.activity("drive", { timeout = "60s" }, function(queue, id)
  local r = ml.client.start("kept", { id = id, task_queue = queue, input = 40 })
  r:signal("add", 2)
  local n = r:query("n")
  r:signal("stop")
  return { n = n, result = r:result(), status = r:describe().status }
end)

ml.workflow("starter", function(queue, id) return drive(queue, id) end)
