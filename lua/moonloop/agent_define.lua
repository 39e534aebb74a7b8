-- run-side
-- The definition of agents (ml.agent): what is checked, what the model is told of, and the activity moonloop.model that asks it.
local core = require "moonloop.core"
local fit = require "moonloop.fit"
local ml = require "moonloop"
local M = {}

local TURNS, TOOL_CALLS = 20, 100 -- limits that are not given

local agents = {}   -- by name, of this state
local children = {} -- agents that are defined as workflows

local model_options = { timeout = "10m", retry = { max_attempts = 10, initial = "1s", backoff = 2, max = "5m" } }

local function misuse(text, ...) error("ml.agent: " .. text:format(...), 4) end

-- The schema, or an error that names the agent.
local function schema_of(name, what, given)
  local ok, schema = pcall(fit.schema, given)
  if not ok then error(("ml.agent: %s: %s: %s"):format(name, what, tostring(schema):gsub("^[%w_/]+%.lua:%d+: ", "")), 5) end
  return schema
end

local object = { type = "object" }
local task = {
  type = "object", properties = { input = { type = "string", description = "The task, with all it needs to know" } }, required = ml.list { "input" },
}

local function is_agent(t) return type(t) == "table" and t.agent_of_moonloop end

-- What the model is told of, and how it is called.
local function add_tool(self, name, entry, schema)
  if self.by_name[name] then misuse("%s: two tools are named %s", self.name, name) end
  self.by_name[name] = entry
  self.schemas[#self.schemas + 1] = schema
end

local function define_child(self)
  if children[self.name] then return end
  children[self.name] = true
  core.workflow("moonloop.agent." .. self.name, { description = self.description }, M.run_child(self))
end

local function define_tools(self, spec)
  for i, t in ipairs(spec.tools or {}) do
    if is_agent(t) then
      define_child(t)
      add_tool(self, t.name, { agent = t }, { name = t.name, description = t.description, input = task })
    elseif type(t) == "table" and core.class_name(t) == "moonloop.mcp" then
      self.sources = self.sources or {} -- what they offer is asked for by the loop (agent_steps)
      self.sources[#self.sources + 1] = t
    elseif type(t) == "table" and t.name then
      if not t.activity then t = ml.tool(t) end
      local input = schema_of(self.name, "input of " .. t.name, t.input)
      add_tool(self, t.name, { tool = t, input = input }, { name = t.name, description = t.description, input = input or object })
    else
      misuse("%s: tools[%d] is neither a tool nor an agent", self.name, i)
    end
  end
  for i, t in ipairs(spec.handoffs or {}) do
    if not is_agent(t) then misuse("%s: handoffs[%d] is no agent", self.name, i) end
    local description = ("Hands the conversation over to %s. %s"):format(t.name, t.description or "")
    add_tool(self, "transfer_to_" .. t.name, { handoff = t }, { name = "transfer_to_" .. t.name, description = description, input = object })
  end
end

-- "0.50 USD" as nano-USD.
local function nano_of(cost, name)
  if type(cost) == "number" then return math.tointeger(cost * 1e9 // 1) end
  local amount = type(cost) == "string" and tonumber(cost:match("^%s*(%d+%.?%d*)%s*USD%s*$"))
  if not amount then misuse("%s: limits.cost is an amount such as \"0.50 USD\"", name) end
  return math.tointeger(amount * 1e9 // 1)
end

function M.limits_of(limits, name)
  core.check_options(limits, "agent_limits", "ml.agent")
  return {
    turns = limits.turns or TURNS, tool_calls = limits.tool_calls or TOOL_CALLS, tokens = limits.tokens,
    nano_usd = limits.cost and nano_of(limits.cost, name), seconds = limits.time and core.seconds(limits.time),
  }
end

function M.define(spec)
  if type(spec) ~= "table" then misuse("takes a table: ml.agent { name = ..., model = ..., instructions = ... }") end
  core.check_options(spec, "agent", "ml.agent")
  local name = spec.name
  if type(name) ~= "string" or not name:find("^[%w_%-]+$") or #name > 50 then misuse("name is up to 50 letters, digits, _ and -") end
  if agents[name] then misuse("\"%s\" is defined twice", name) end
  if spec.model == nil then misuse("%s needs a model, such as model = \"openai:gpt-4.1-mini\"", name) end
  local self = {}
  for k, v in pairs(spec) do self[k] = v end
  self.agent_of_moonloop, self.by_name, self.schemas = true, {}, ml.list {}
  self.limits = M.limits_of(spec.limits or {}, name)
  self.hooks = spec.hooks or {}
  self.description = spec.description or ""
  self.output = schema_of(name, "output", spec.output)
  if not M.model_activity then
    M.model_activity = core.activity("moonloop.model", model_options, function(request, messages) return M.model(request, messages) end)
  end
  define_tools(self, spec)
  agents[name] = self
  return self
end

--- What the activity moonloop.model does, where activities run: asks the model of the newest agent of that name.
function M.model(request, messages, on_event)
  local self = agents[request.agent]
  if not self then
    local text = ("the loaded script defines no agent \"%s\" any more: bring it back, or end the run"):format(request.agent)
    ml.fail(text, { type = "UnknownAgent", retryable = true })
  end
  local o = request.options or {}
  local function piece(event)
    ml.heartbeat()
    core.progress(event) -- for who listens to the run
  end
  if not on_event and o.stream then on_event = piece end
  local tools = request.tools and #request.tools > 0 and request.tools or nil
  local a = ml.llm.chat {
    model = self.model, messages = messages, instructions = request.instructions, tools = tools, output = request.output, max_tokens = o.max_tokens,
    temperature = o.temperature, reasoning = o.reasoning, cache = o.cache, tool_choice = o.tool_choice, retries = o.retries, on_event = on_event,
    need_price = o.need_price,
  }
  return { message = a.message, stop = a.stop, usage = a.usage, model = a.model, provider = a.provider }
end

return M
