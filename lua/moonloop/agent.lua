-- run-side: agent
-- ml.agent: a model, instructions and tools, in a loop. Here is the loop, to be read, copied and changed; its steps are in
-- moonloop.agent_steps. Live (in a handler, an activity, a program's coroutine) it answers while the caller waits. In a workflow
-- the same loop runs in the run: each model call is the activity moonloop.model, each tool call an activity of the tool's name,
-- and a limit that is reached pauses the run and asks.
local core = require "moonloop.core"
local define = require "moonloop.agent_define"
local steps = require "moonloop.agent_steps"
local M, agent = {}, {}
M.classes = { agent = agent }

local meta = { __index = agent, __name = "moonloop.agent", __tostring = function(self) return "agent " .. self.name end }

--- Defines an agent.
function M.agent(spec)
  core.defining("ml.agent")
  return setmetatable(define.define(spec), meta)
end

-- The loop. `way` is how it acts (steps.live or steps.durable); `emit` gets what happens, or is nil.
local function loop(self, input, options, way, emit)
  local s = steps.begin(self, input, options, way, emit)
  while true do
    steps.check_limits(s, "turns", 1)                        -- before each model call
    steps.compact(s)
    local answer = steps.ask(s)                              -- one model call
    if #answer.tool_calls > 0 then
      steps.call_tools(s, answer.tool_calls)                 -- in parallel, results in the model's order
    else
      local done, value = steps.finish(s, answer)            -- an output that breaks its schema is asked for again, a few times
      if done then return value, steps.summary(s) end
    end
  end
end

--- Runs until the agent has answered: its output (with `output`, a value; else a text), and what it took.
function agent:run(input, options)
  if core.in_run then return loop(self, input, options, steps.durable) end
  return loop(self, input, options, steps.live)
end

--- Live: what happens, as it comes. `for event in agent:stream(messages)`; the last event is { type = "done", result }.
function agent:stream(input, options)
  if core.in_run then
    error(("%s:stream belongs to a handler or an activity; a workflow calls %s:run, whose tokens its listeners get"):format(self.name, self.name), 2)
  end
  local events = "moonloop.events" -- not part of a run's text
  return require(events).new(function(emit)
    local value, took = loop(self, input, options, steps.live, emit)
    emit { type = "done", result = value, usage = took.usage, turns = took.turns, messages = took.messages }
  end)
end

-- An agent that is a tool of another one is a child in a workflow: this is that child's function.
define.run_child = function(self)
  return function(input)
    local value = agent.run(self, input)
    return value
  end
end

return M
