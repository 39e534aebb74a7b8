-- The same two workflows that deployment_test.py has in Python: which worker of a deployment goes on with a run.
local ml = require "moonloop"

local who = ml.activity("who", { timeout = "20s" }, function(v) return "lua " .. v end)

local function body(input)
  local begun = who(input)
  local word
  ml.on_signal("go", function(v) word = v end)
  ml.await(function() return word end)
  return ml.list { begun, who(word) }
end

ml.workflow("stays", { versioning = "pinned" }, body)
ml.workflow("moves", { versioning = "auto_upgrade" }, body)
