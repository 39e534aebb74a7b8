-- run-side: mcp
-- ml.mcp: tools of an MCP server, over streamable HTTP or of a program on this machine. In a run the list of its tools and each call
-- are activities, so both are recorded; where activities run they are done in place (moonloop.mcp_client).
local core = require "moonloop.core"
local ml = require "moonloop"
local M, mcp = {}, {}
M.classes = { mcp = mcp }

local names = {}
local meta = { __index = mcp, __name = "moonloop.mcp", __metatable = false, __tostring = function(self) return "mcp " .. self.name end }
local list_retry = { max_attempts = 5, initial = "1s", backoff = 2, max = "30s" }

local function misuse(text, ...) error("ml.mcp: " .. text:format(...), 4) end

local function check(spec)
  if type(spec) ~= "table" then misuse("takes a table: ml.mcp { name = ..., url = ... } or { name = ..., command = { ... } }") end
  core.check_options(spec, "mcp", "ml.mcp")
  local name = spec.name
  if type(name) ~= "string" or not name:find("^[%w_%-]+$") or #name > 50 then misuse("name is up to 50 letters, digits, _ and -") end
  if names[name] then misuse("\"%s\" is defined twice", name) end
  if (spec.url == nil) == (spec.command == nil) then misuse("%s needs either url or command", name) end
  if spec.command and (type(spec.command) ~= "table" or #spec.command == 0) then misuse("%s: command is a list: the program and its arguments", name) end
  names[name] = true
end

local function client()
  local name = "moonloop.mcp_client" -- not part of a run's text
  return require(name)
end

--- Names a server. Nothing is asked yet.
function M.mcp(spec)
  core.defining("ml.mcp")
  check(spec)
  local self = {}
  for key, value in pairs(spec) do self[key] = value end
  self.timeout = spec.timeout or "60s"
  self.tools_allowed, self.tools = spec.tools, nil
  local seconds = core.seconds(self.timeout) + 5
  self.list_activity = core.activity("moonloop.mcp.list." .. spec.name, { timeout = seconds, retry = list_retry }, function() return client().list(self) end)
  -- a call may have had an effect when its answer is lost: by default it is not made twice
  self.call_activity = core.activity("moonloop.mcp.call." .. spec.name, { timeout = seconds, retry = spec.retry or { max_attempts = 1 } },
    function(tool, args) return client().call(self, tool, args) end)
  return setmetatable(self, meta)
end

--- The server's tools: a list of { name, description, input (a JSON Schema) }; of those that `tools` allows.
function mcp:list()
  local all = core.in_run and self.list_activity() or not core.in_run and client().list(self)
  local allowed, list = {}, ml.list {}
  for _, name in ipairs(self.tools_allowed or {}) do allowed[name] = true end
  for _, tool in ipairs(all) do
    if not self.tools_allowed or allowed[tool.name] then list[#list + 1] = tool end
  end
  return list
end

--- Calls one of them with a table of arguments.
function mcp:call(tool, args)
  if type(tool) ~= "string" then error("mcp:call takes the tool's name and a table of arguments", 2) end
  if core.in_run then return self.call_activity(tool, args or {}) end
  return client().call(self, tool, args or {})
end

return M
