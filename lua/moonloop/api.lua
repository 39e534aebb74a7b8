-- run-side: api
-- ml.api: routes for `moonloop serve`. A run loads the top of the file too: there the same calls define nothing, so that the top
-- says the same in both. What happens with a request is in serve.lua.
local core = require "moonloop.core"
local fit = require "moonloop.fit"
local ml = require "moonloop"

local M = {}
local api = {}
M.classes = { api = api }
local class = { __index = api, __name = "moonloop.api", __metatable = false, __tostring = function() return "api" end }

local function misuse(level, text, ...) error(text:format(...), level) end

local function is_tool(value)
  local meta = type(value) == "table" and core.class_name(value)
  return meta == "moonloop.tool"
end

--- An object whose methods define routes.
function M.api(options)
  options = options or {}
  if type(options) ~= "table" then misuse(3, "ml.api: a table of options expected, not a %s", type(options)) end
  core.check_options(options, "api", "ml.api")
  local prefix = options.prefix or ""
  if prefix ~= "" and not prefix:find("^/.*[^/]$") then misuse(3, "ml.api: prefix begins with '/' and does not end with one, as in \"/v1\"") end
  local cors = options.cors
  if type(cors) == "table" and cors.credentials and cors.origins == "*" then
    misuse(3, 'ml.api: cors with credentials names its origins: with "*" every page could act as its visitor')
  end
  return setmetatable({ options = options, prefix = prefix, preflights = {} }, class)
end

-- What lists of routes say (/openapi.json), as JSON.
local function doc(entry)
  local o, tool = entry.options, entry.tool
  return ml.json.encode {
    summary = o.summary or tool and tool.name, description = o.description or tool and tool.description, input = entry.input,
    output = fit.schema(o.output or tool and tool.output),
  }
end

-- A browser asks first (OPTIONS) where an api has cors; each path gets its answer once.
local function preflight(self, path, level)
  if not self.options.cors or self.preflights[path] then return end
  self.preflights[path] = true
  core.route("OPTIONS", path, {}, { api = self, path = path, options = {}, preflight = true }, level + 1)
end

local function define(self, name, method, path, options, handler, level)
  core.defining(name)
  if handler == nil then options, handler = nil, options end
  options = options or {}
  if type(path) ~= "string" then misuse(level, "%s: the path is a text, as in \"/posts/{id}\"", name) end
  if type(options) ~= "table" then misuse(level, "%s: the options are a table", name) end
  core.check_options(options, "route", name)
  local tool = is_tool(handler)
  if type(handler) ~= "function" and not tool then misuse(level, "%s %s: a handler (a function, or a tool) is missing", name, path) end
  path = self.prefix .. path
  if core.in_run then return end
  local entry = { api = self, path = path, method = method, options = options, handler = not tool and handler or nil, tool = tool and handler or nil }
  entry.input = fit.schema(options.input or tool and handler.input or nil)
  local limits = { timeout = options.timeout or self.options.timeout, max_body = options.max_body or self.options.max_body, doc = doc(entry) }
  core.route(method, path, limits, entry, level)
  if method ~= "OPTIONS" then preflight(self, path, level) end
end

for _, name in ipairs { "get", "post", "put", "patch", "delete" } do
  api[name] = function(self, path, options, handler)
    define(self, "api:" .. name, name:upper(), path, options, handler, 4)
    return self
  end
end

--- The script's tools for MCP clients, over streamable HTTP (POST; nothing is pushed, so there is no GET). options: those of a route,
--- and workflows, origins.
function api:mcp(path, options)
  local route, own = {}, { workflows = options and options.workflows, origins = options and options.origins }
  if options ~= nil and type(options) ~= "table" then misuse(3, "api:mcp: the options are a table") end
  core.check_options(options or {}, "mcp_route", "api:mcp")
  for key, value in pairs(options or {}) do if own[key] == nil then route[key] = value end end
  define(self, "api:mcp", "POST", path or "/mcp", route, function(req)
    local server = "moonloop.mcp_server" -- not part of a run's text
    own.handler = own.handler or require(server).http(own)
    return own.handler(req)
  end, 4)
  return self
end

--- Any method: api:route("PROPFIND", "/x", handler).
function api:route(method, path, options, handler)
  if type(method) ~= "string" then misuse(3, "api:route: the method is a text, as in \"GET\"") end
  define(self, "api:route", method:upper(), path, options, handler, 4)
  return self
end

--- Files of a folder (beside the script), read as they are.
function api:static(path, folder)
  core.defining("api:static")
  if type(path) ~= "string" or type(folder) ~= "string" or folder == "" then
    misuse(3, "api:static: a path and a folder, as in api:static(\"/assets\", \"public\")")
  end
  if core.in_run then return self end
  path = (self.prefix .. path):gsub("/$", "")
  core.route("GET", path .. "/{path...}", { folder = folder }, { api = self, path = path, options = {} }, 3)
  return self
end

return M
