-- host-side
-- A tool that is in another process: its arguments are checked here, posted to its API as JSON, and what the API answers is the
-- tool's result. The tries of one call show one Idempotency-Key, so a try whose answer was lost is accepted once. No list of
-- addresses is asked: the script's author named the URL.
local core = require "moonloop.core"
local ml = require "moonloop"
local M = {}

local TRIES, PAUSE = 3, 0.2 -- of one call, within its deadline; seconds before the second, twice that before the third
local kinds = { [401] = "Unauthorized", [402] = "OutOfCredit", [403] = "Forbidden", [409] = "Conflict", [422] = "InvalidArguments", [429] = "RateLimited" }

local function passing(status) return status == 502 or status == 503 or status == 504 end

local function post(tool, args, key)
  local request = { json = args, auth = tool.auth, idempotency_key = key, timeout = tool.deadline, guard = false }
  for try = 1, TRIES do
    local ok, res = pcall(ml.http.post, tostring(tool.remote), request)
    local again = ok and passing(res.status) or not ok and type(res) == "table" and res.retryable
    if try == TRIES or not again then
      if ok then return res end
      error(res, 0)
    end
    ml.sleep(PAUSE * 2 ^ (try - 1))
  end
end

-- What an API that refuses says, as a failure. Its problem (RFC 9457), when it is one, is in `details`.
local function refused(tool, res)
  local ok, problem = pcall(ml.json.decode, res.body)
  if not ok or type(problem) ~= "table" then problem = { status = res.status, title = "Error", detail = tostring(res.body):sub(1, 200) } end
  local kind = kinds[res.status] or res.status >= 500 and "Unavailable" or "ToolFailed"
  ml.fail(("tool %s: %s answered %d: %s"):format(tool.name, tostring(tool.remote), res.status, tostring(problem.detail or problem.title)),
    { type = kind, retryable = kind == "RateLimited" or kind == "Unavailable", details = problem, retry_after = tonumber(res.headers["retry-after"]) })
end

--- The API's answer (a value) and its status. key: absent, that of the tool's own activity, or a new one.
function M.call(tool, args, key)
  local info = ml.info()
  if not key then key = info.activity_type == tool.name and info.idempotency_key or ml.uuid() end
  local fits, errors = tool.input:validate(args)
  if not fits then
    ml.fail(("tool %s: the arguments do not fit the schema: %s %s"):format(tool.name, errors[1].pointer, errors[1].message),
      { type = "InvalidArguments", retryable = false, details = { errors = errors } })
  end
  local over, res = ml.timeout(tool.deadline, post, tool, args, key)
  if not over then
    local text = ("tool %s: %s did not answer within %gs"):format(tool.name, tostring(tool.remote), core.seconds(tool.deadline))
    ml.fail(text, { type = "ToolTimeout", retryable = true })
  end
  if res.status >= 300 then refused(tool, res) end
  if res.body == "" then return nil, res.status end
  return res:json(), res.status
end

-- What the caller of a route here is told: what is about the request as the API said it; that it is not there, or does not let us in,
-- is about us.
local told = { [402] = true, [409] = true, [413] = true, [422] = true, [429] = true }

--- What the tool's call failed with, as a problem.
function M.problem(tool, e)
  if type(e) ~= "table" or not e.type then return e end
  local said = type(e.details) == "table" and e.details or {}
  if told[said.status] then
    return ml.problem { status = said.status, type = said.type, title = said.title, detail = said.detail, errors = said.errors,
      headers = { ["Retry-After"] = e.retry_after and tostring(e.retry_after) or nil } }
  end
  ml.log.warn("a tool that is elsewhere failed", { tool = tool.name, type = e.type, error = e.message })
  if e.type == "ToolTimeout" then return ml.problem { type = "timeout", detail = "what does this did not answer in time" } end
  if e.retryable then return ml.problem { type = "unavailable", detail = "what does this is not there now" } end
  return ml.problem { status = 502, type = "bad-gateway", detail = "what does this refused us" }
end

return M
