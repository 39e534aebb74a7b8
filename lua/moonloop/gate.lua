-- The gate of each route: the seam between routes (serve.lua) and the boundary. A route that lets anybody in and counts nothing goes
-- straight to its handler, and meets the boundary only when the handler wants something to be written.
local ml = require "moonloop"
local boundary = require "moonloop.boundary"
local core = require "moonloop.core"
local M = {}

local class = { __name = "moonloop.answer", __metatable = false }

local function words(list)
  if type(list) == "table" then return table.concat(list, " ") end
  return list
end

-- Two needs are both needed.
local function both(a, b)
  a, b = words(a), words(b)
  return a and b and a .. " " .. b or a or b
end

-- The answer of the boundary, as serve.lua sends it.
local function as_answer(x)
  local headers = x.headers
  if not headers then
    headers = {}
    if x.body ~= "" then
      headers[1], headers[2] = "Content-Type", x.contentType or (x.problem and "application/problem+json") or "application/json"
    end
    if x.retryAfter and x.retryAfter > 0 then
      headers[#headers + 1], headers[#headers + 2] = "Retry-After", tostring(x.retryAfter)
    end
    if x.status == 401 then headers[#headers + 1], headers[#headers + 2] = "WWW-Authenticate", "Bearer" end
    if x.replayed then headers[#headers + 1], headers[#headers + 2] = "Idempotency-Replayed", "true" end
  end
  return setmetatable({ status = x.status, headers = headers, body = x.body }, class)
end

local writing = { POST = true, PUT = true, PATCH = true, DELETE = true }

-- The key of a repeated request: of the header, or of a field (idempotency = { field = "id" }); false: none is looked for.
local function key_of(options, req, read)
  local how = options.idempotency
  if how == false or not writing[req.method] then return nil end
  if type(how) == "table" and how.field then
    local ok, input = pcall(read)
    local value = ok and type(input) == "table" and input[how.field]
    if type(value) == "number" then value = tostring(value) end
    return type(value) == "string" and value ~= "" and value or nil
  end
  return req.headers["idempotency-key"]
end

local function required(options) return options.idempotency == "required" or type(options.idempotency) == "table" and options.idempotency.required end

-- A token of others, in place of one of ours: { jwt = { secret | pem | jwks, issuer, audience } }. Its subject is the principal
-- "jwt:SUBJECT". Why it is refused is for the log; nil: nobody.
local function by_jwt(jwt, req)
  local token = (req.headers.authorization or ""):match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$")
  if not token then return nil end
  if not jwt.keys then jwt.keys = core.jwt_keys(jwt) end
  local subject, scopes = core.jwt_verify(jwt.keys, token, jwt.issuer, jwt.audience)
  if subject then return "jwt:" .. subject, scopes end
  ml.log.info("a token was refused", { reason = scopes, remote = req.remote })
end

local function request_of(entry, options, req, read)
  local tool = entry.tool
  local auth = options.auth
  if auth == "none" then auth = nil end
  local jwt = type(auth) == "table" and auth.jwt
  local signed = type(auth) == "table" and core.class_name(auth) == "moonloop.webhook"
  if auth and auth ~= "bearer" and type(jwt) ~= "table" and not signed then error('auth is "bearer", { jwt = { ... } }, ml.webhook {} or "none"', 0) end
  local scope = both(options.scope, tool and tool.scope)
  local r = {
    route = tool and "tool " .. tool.name or req.method .. " " .. (entry.path or req.path), tool = tool and tool.name, scope = scope,
    auth = auth ~= nil or scope ~= nil, rate = options.rate or tool and tool.rate, cost = tool and tool.cost or options.cost,
    key = key_of(options, req, read),
  }
  if jwt then
    r.principal, r.scopes = by_jwt(jwt, req)
  elseif signed then
    r.signed = auth
  elseif r.auth then
    r.authorization = req.headers.authorization or ""
  end
  if r.key then r.body = table.concat({ req.path, req.query_string or "", req.body }, "\n") end
  if tool and tool.mode ~= "durable" then r.cost = nil end
  return r
end

local function check(schema, input, kind)
  local ok, errors = schema:validate(input)
  if ok then return nil end
  return ml.problem { type = "invalid-" .. kind, detail = ("the %s does not fit its schema: %s"):format(kind, errors[1].message), errors = errors }
end

--- The answer of a route: what its handler returned, or what the boundary says. serve gives read (the input of the request) and
--- render (status, content type, body of what was returned; nil for a stream).
function M.pass(entry, options, req, serve)
  local input
  local function read()
    if input == nil then input = serve.read(entry, req) end
    return input
  end
  local tool, r = entry.tool, request_of(entry, options, req, read)
  if required(options) and not r.key then
    return as_answer(boundary.problem("bad-request", "an idempotency key is needed: the header Idempotency-Key, or the field that the route names"))
  end
  if r.signed then -- a message that comes twice is handled once: its id is the key
    local who = require("moonloop.webhook_check").identify(r.signed, req)
    if not who then return as_answer(boundary.problem("bad-signature", "the signature does not hold")) end
    r.principal, r.scopes = who.principal, who.scopes
    if who.key then r.key, r.body = who.key, req.body end
  end
  local call = boundary.new_call(r)
  req.db = call.db
  local function prepare(entered)
    req.principal, req.scopes = entered.principal, entered.scopes
    if not entry.input then return nil end
    req.input = read()
    local wrong = check(entry.input, req.input, req.body == "" and "query" or "body")
    if wrong then error(wrong, 0) end
    return req.input
  end
  local handler = tool and boundary.handler(tool) or function() return entry.handler(req) end
  if not (r.auth or r.rate or r.cost or r.key or tool) then
    prepare(call)
    local value = handler(req.input, call)
    if not boundary.writes(call, value) then return value end
    handler = function() return value end
  end
  r.prepare = prepare
  if tool and tool.approval then ml.fail("a tool that needs approval cannot be a route: only a workflow can wait for a person", { retryable = false }) end
  local answer = boundary.pass(r, handler, nil, serve.render, call)
  if answer.stream then return answer.value end
  if answer.failure ~= nil then error(answer.failure, 0) end -- told and logged as any handler's
  return as_answer(answer)
end

return M
