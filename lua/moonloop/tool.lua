-- run-side: tool migrate
-- ml.tool: one definition for a model's call, a route, an MCP client and a Lua caller. In a run a tool is an activity of its own
-- name; where activities run, calling it goes through its boundary (moonloop.boundary). Both states load this file, so that the
-- definition says the same in both.
local core = require "moonloop.core"
local ml = require "moonloop"

local M = {}
local tool = {}
M.classes = { tool = tool }
M.all = {} -- in the order of their definition; for those who offer them (mcp_server.lua)

local LIVE_MOST = 60 -- seconds: a live tool answers a caller who waits
local LIVE, DURABLE = 15, 60 -- of one call, when the definition does not say

local function misuse(text, ...)
  error("ml.tool: " .. text:format(...), 4) -- where the script calls ml.tool
end

-- What is elsewhere: `run`, the price and who may call are there.
local function check_remote(name, spec)
  if spec.run then misuse("%s has run and remote: it is here or there", name) end
  if type(spec.remote) == "string" and not spec.remote:find("^https?://[^/]") then
    misuse("%s: remote is the URL of the route that has the tool: \"https://api.example.com/content/schedule-post\"", name)
  end
  if spec.cost then misuse("%s: what it costs is said where it runs, not beside remote", name) end
end

local function check(spec)
  if type(spec) ~= "table" then misuse("takes a table: ml.tool { name = ..., input = ..., run = function(args, call) ... end }") end
  core.check_options(spec, "tool", "ml.tool")
  local name, mode = spec.name, spec.mode or "live"
  if type(name) ~= "string" or not name:find("^[%w_%-]+$") or #name > 64 then
    misuse("name is up to 64 letters, digits, _ and -, as models want it") -- OpenAI and Anthropic: ^[a-zA-Z0-9_-]{1,64}$
  end
  if not spec.run and not spec.remote then misuse("%s has no run = function(args, call) ... end", name) end
  if spec.remote then check_remote(name, spec) end
  local input = type(spec.input)
  if spec.input ~= nil and input ~= "table" and input ~= "userdata" then misuse("%s: input is a schema: ml.schema { ... }", name) end
  if mode == "live" then
    if spec.effects then
      misuse("%s declares side effects (effects = true), so it cannot be live: one that is cut off may have had them and nobody knows. " ..
        'Make it mode = "durable"', name)
    end
    if spec.cost then misuse('%s: cost is reserved by what is accepted, so it needs mode = "durable"', name) end
    if core.seconds(spec.deadline or LIVE) > LIVE_MOST then
      misuse('%s: a live tool has a deadline of at most %d seconds; what takes longer is mode = "durable"', name, LIVE_MOST)
    end
  end
  return name, mode
end

--- Defines a tool. The object has its fields (name, description, input, mode, scope, ...); calling it runs it.
function M.tool(spec)
  local name, mode = check(spec)
  local self = {}
  for key, value in pairs(spec) do self[key] = value end
  self.mode = mode
  self.deadline = spec.deadline or mode == "live" and LIVE or DURABLE
  self.description = spec.description or ""
  if type(spec.input) ~= "userdata" then self.input = ml.json_schema(spec.input or { type = "object" }) end
  local options = {
    timeout = spec.timeout or core.seconds(self.deadline) + 5, retry = spec.retry, task_queue = spec.task_queue, description = spec.description,
  }
  self.activity = core.define_tool(name, options, function(args) return M.call(self, args) end)
  M.all[#M.all + 1] = setmetatable(self, M.class)
  return self
end

--- Runs the tool here, through its boundary. context: {principal, key}; absent, those of the activity that calls.
function M.call(self, args, context)
  if core.in_run then
    if self.approval then args = require("moonloop.approve").gate(self, args) end
    return self.activity(args)
  end
  if self.approval and ml.info().activity_type ~= self.name then -- a run's call has passed the gate there
    local text = ("tool %s needs a person's approval, which only a workflow can wait for"):format(self.name)
    ml.fail(text, { type = "ApprovalNeeded", retryable = false })
  end
  local boundary = "moonloop.boundary" -- not part of a run's text
  return require(boundary).call(self, args, context)
end

--- Declares what is unique in a table of call.db: { posts = { unique = { "slug", { "platform", "day" } } } }. Done where
--- activities run, before the first of them.
function M.migrate(spec)
  core.defining("ml.migrate")
  if type(spec) ~= "table" then error("ml.migrate takes a table: { posts = { unique = { \"slug\" } } }", 2) end
  for name, options in pairs(spec) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") or #name > 63 then
      error("ml.migrate: the name of a table is a letter or _, then letters, digits and _, 63 at most", 2)
    end
    core.check_options(options, "migrate", "ml.migrate")
  end
  local boundary = "moonloop.boundary"
  ml.setup(function() require(boundary).migrate(spec) end)
end

function tool:async(args)
  if core.in_run and not self.approval then return self.activity:async(args) end
  return ml.spawn(M.call, self, args)
end

M.class = {
  __index = tool, __call = M.call, __name = "moonloop.tool", __metatable = false,
  __tostring = function(self) return "tool " .. self.name end,
}
return M
