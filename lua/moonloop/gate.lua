-- The gate before and behind each handler: the seam between routes (serve.lua) and the boundary. Both functions may wait.
--   enter(options, req) -> principal | nil, problem
--     options: the route's own, over those of its ml.api {}. Before the handler; what it returns is req.principal.
--   leave(options, req, principal, ...) -> value
--     What the handler (or the tool) returned, as what is answered: a table, a text, ml.response, ml.problem, ml.stream.
--   call(tool, args, options, req, principal) -> value
--     The route's handler is a tool.
--   check(schema, input, kind) -> nil | problem
--     Whether the input (kind: body or query) fits the route's or the tool's schema.
local ml = require "moonloop"
local M = {}

function M.enter() end

function M.leave(_, _, _, value) return value end

function M.call(tool, args, _, req, principal)
  local boundary = require "moonloop.boundary"
  return boundary.call(tool, args, { principal = principal, key = req.headers["idempotency-key"] })
end

function M.check(schema, input, kind)
  local ok, errors = schema:validate(input)
  if ok then return nil end
  return ml.problem { type = "invalid-" .. kind, detail = ("the %s does not fit its schema: %s"):format(kind, errors[1].message), errors = errors }
end

return M
