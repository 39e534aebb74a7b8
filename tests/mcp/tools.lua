-- What the MCP tests talk to: tools of every outcome, and a workflow.
local ml = require "moonloop"

ml.tool { name = "add", description = "Adds two numbers", input = ml.schema { a = "number", b = "number" },
  run = function(args)
    print("a line of the script") -- must not come between the messages
    io.write("noise of the script\n")
    return { sum = args.a + args.b }
  end }
ml.tool { name = "greet", description = "A text", input = ml.schema { name = "string<=20" }, run = function(args) return "hello " .. args.name end }
ml.tool { name = "numbers", run = function() return { 1, 2, 3 } end }
ml.tool { name = "nothing", run = function() end }
ml.tool { name = "refuse", run = function() ml.fail("not today", { type = "Refused", retryable = false }) end }
ml.tool { name = "broken", run = function() error("a secret of the script") end }
ml.tool { name = "slow", deadline = "20s", run = function()
  ml.sleep("15s")
  return "late"
end }

ml.workflow("collect", { description = "Collects a word", input = ml.schema { who = "string" } }, function(input)
  local _, word = ml.channel("word"):receive { timeout = "1h" }
  return { text = input.who .. " says " .. tostring(word) }
end)

local api = ml.api {}
api:mcp("/mcp", { workflows = true })
api:mcp("/tools")
