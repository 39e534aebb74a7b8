-- run-side: webhook
-- ml.webhook: callers of a route that sign what they send. A value for `auth`; the check is in webhook_check.lua, where handlers run.
local core = require "moonloop.core"
local M = {}

local webhook = { __name = "moonloop.webhook", __metatable = false, __tostring = function() return "webhook" end }

--- Signed webhooks: Standard Webhooks, or GitHub's.
function M.webhook(spec)
  if type(spec) ~= "table" then error("ml.webhook: takes a table: ml.webhook { secret = ml.secret \"NAME\" }", 3) end
  core.check_options(spec, "webhook", "ml.webhook")
  if spec.secret == nil then error("ml.webhook: secret is missing", 3) end
  local self = {}
  for key, value in pairs(spec) do self[key] = value end
  return setmetatable(self, webhook)
end

return M
