-- A durable character of a game: it patrols, rests, and turns when the game tells it what it saw.
local ml = require "moonloop"

local walk = ml.activity("walk", { timeout = "10s" }) -- a C function of the host

ml.workflow("character", function(me)
  local seen = ml.channel("seen")
  local x, steps, alarms = me.x, 0, 0
  ml.query("where", function() return { x = x, steps = steps, alarms = alarms } end)
  while steps < me.steps do
    x = walk(me.name, x)
    steps = steps + 1
    local ok = seen:receive { timeout = 0.2 }
    if ok then alarms = alarms + 1 end
  end
  return { name = me.name, x = x, steps = steps, alarms = alarms }
end)
