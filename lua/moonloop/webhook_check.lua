-- Whether a request to a route whose `auth` is ml.webhook is signed. Loaded where handlers run. What is refused is told to the caller in general
-- words; the reason is in the log.
local core = require "moonloop.core"
local ml = require "moonloop"
local M = {}

--- {principal, scopes, key}, or nil: it is not signed by one of the secrets.
function M.identify(self, req)
  local github = self.kind == "github"
  local secrets = self.secret
  if core.class_name(secrets) ~= nil or type(secrets) ~= "table" then secrets = { secrets } end
  local h = req.headers
  local given = github and { signature = h["x-hub-signature-256"] }
    or { id = h["webhook-id"], timestamp = h["webhook-timestamp"], signature = h["webhook-signature"] }
  local tolerance = self.tolerance and math.tointeger(core.seconds(self.tolerance) // 1) or nil
  local ok, why = core.webhook_verify(self.kind or "standard", secrets, given, req.body, tolerance)
  if not ok then
    ml.log.info("a webhook was refused", { reason = why, remote = req.remote })
    return nil
  end
  local id = github and h["x-github-delivery"] or given.id
  -- a message that comes twice is handled once: its id is the idempotency key
  return { principal = "webhook:" .. (self.name or req.path), scopes = "*", key = id and id ~= "" and id or nil }
end

return M
