-- run-side: promise
-- ml.promise: a run waits for somebody outside, who is given a signed URL and posts a value to it. The URL is made where the key is
-- (the activity "moonloop.promise_url", src/host/resume.c) and recorded once; serve passes what is posted on as the update "moonloop.resume".
local core = require "moonloop.core"
local ml = require "moonloop"
local M, promise = {}, {}
M.classes = { promise = promise }

local RESUME = "moonloop.resume"
local EPOCH, FOREVER = "1970-01-01T00:00:00Z", 253402300799 -- seconds; the end of the year 9999
local class = { __index = promise, __name = "moonloop.promise", __metatable = false, __tostring = function(self) return "promise " .. self.id end }
local retry = { max_attempts = 5, initial = "1s", backoff = 2 } -- serve may not listen yet
local outcomes, registered = {}, false -- of this run: id -> false while it waits, then what was decided

local function refuse(text) ml.fail(text, { type = "BadResume", retryable = false }) end

local function check(d)
  if type(d) ~= "table" then refuse("what resumes is { id, value }, or { id, reject = true, reason }") end
  local outcome = outcomes[d.id]
  if outcome == nil then refuse("there is no such promise in this run; it may have gone on without it") end
  if outcome then refuse(outcome.over and "the promise waits no longer" or "the promise is resolved already") end
end

local function register()
  if registered then return end
  registered = true
  ml.update(RESUME, function(d)
    if outcomes[d.id] then refuse("the promise is resolved already") end -- two that were let in together
    outcomes[d.id] = { value = d.value, rejected = d.reject == true, reason = d.reason }
    return { status = d.reject == true and "rejected" or "resumed" }
  end, { validator = check })
end

--- A promise of this run, with the URL that resolves it.
function M.promise(options)
  options = options or {}
  core.check_options(options, "promise", "ml.promise")
  register()
  local deadline = options.timeout and ml.time.add(ml.now(), options.timeout)
  local expires = deadline and math.ceil(ml.time.diff(deadline, EPOCH)) or FOREVER
  local sign = core.host_activity("moonloop.promise_url", { timeout = "30s", retry = retry, summary = options.summary })
  local made = sign { id = ml.uuid(), workflow = ml.info().workflow_id, expires = expires, base = options.base }
  local self = { id = made.id, token = made.token, url = made.url, reject_url = made.reject_url, deadline = deadline, summary = options.summary }
  outcomes[self.id] = false
  return setmetatable(self, class)
end

--- Waits for the value that is posted.
function promise:await()
  local id = self.id
  if not outcomes[id] and not ml.await(function() return outcomes[id] end, { till = self.deadline, summary = self.summary or "promise" }) then
    outcomes[id] = { over = true }
  end
  local outcome = outcomes[id]
  if outcome.over then ml.fail("nobody resolved the promise in time", { type = "Timeout", retryable = false }) end
  if not outcome.rejected then return outcome.value end
  local text = "the promise was rejected" .. (outcome.reason and ": " .. tostring(outcome.reason) or "")
  ml.fail(text, { type = "Rejected", retryable = false, details = { reason = outcome.reason } })
end

return M
