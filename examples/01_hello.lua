-- The smallest durable program: one activity, one workflow.
--   moonloop run examples/01_hello.lua --input '{"name":"Ada"}'
local ml = require "moonloop"

local greet = ml.activity("greet", { timeout = "5s" }, function(name)
  return "Hello, " .. name .. "!"
end)

ml.workflow("hello", function(input)
  local name = input and input.name or "world"
  local text = greet(name) -- durable: done once, kept for ever
  return { greeting = text }
end)
