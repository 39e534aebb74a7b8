-- run-side: approve
-- People in the loop: a step that waits for a person's decision. What waits is a pending item of the run, bound to its exact
-- arguments by their digest. It is shown as the run's memo "moonloop_approvals" (lists need not ask the run) and as the query
-- "moonloop.approvals"; the update or signal "moonloop.decide" decides it. Nothing is run again: the run waits where it is.
local core = require "moonloop.core"
local fit = require "moonloop.fit"
local ml = require "moonloop"
local M = {}

local MEMO, QUERY, DECIDE = "moonloop_approvals", "moonloop.approvals", "moonloop.decide"
local pending, count, registered = {}, 0, false -- of this run
local decisions = { approve = true, reject = true, edit = true }

local function find(id)
  for i, item in ipairs(pending) do
    if item.id == id then return item, i end
  end
end

local shown = { "id", "kind", "name", "text", "args", "digest", "asked_at", "deadline", "default", "reminded" }

local function listed()
  local list = ml.list {}
  for i, item in ipairs(pending) do
    local one = {}
    for _, k in ipairs(shown) do one[k] = item[k] end
    list[i] = one
  end
  return list
end

local function show()
  ml.memo { [MEMO] = #pending > 0 and listed() or ml.null }
end

local function refuse(text) ml.fail(text, { type = "BadDecision", retryable = false }) end

local function check(d)
  if type(d) ~= "table" then refuse("a decision is { id, decision, digest }") end
  local item = find(d.id)
  if not item then refuse(("there is no pending item \"%s\"; it may be decided already"):format(tostring(d.id))) end
  if not decisions[d.decision] then refuse("decision is \"approve\", \"reject\" or \"edit\"") end
  if d.decision == "approve" and d.digest == nil then refuse("an approval names the digest of what was looked at") end
  if d.digest ~= nil and d.digest ~= item.digest then refuse("the digest is of other arguments than those that wait") end
  if d.decision == "edit" then
    if type(d.args) ~= "table" then refuse("edit gives the arguments anew: args is a table") end
    local errors = item.schema and fit.errors(item.schema, d.args)
    if errors then refuse("the edited arguments break the schema: " .. errors) end
  end
end

local function decide(d)
  local item = find(d.id)
  if not item or item.decision then return { id = d.id, decided = false } end
  item.decision = d
  return { id = d.id, decided = true }
end

local function register()
  if registered then return end
  registered = true
  ml.query(QUERY, listed)
  ml.update(DECIDE, decide, { validator = function(d)
    check(d)
    if find(d.id).decision then refuse("it is decided already") end
  end })
  ml.on_signal(DECIDE, function(d)
    local ok, e = pcall(check, d)
    if ok then decide(d) else ml.log.warn("a decision was not taken: " .. (type(e) == "string" and e or e.message)) end
  end)
end

local function tell(notify, item, reminder)
  if not notify then return end
  local about = { reminder = reminder }
  for _, k in ipairs(shown) do about[k] = item[k] end
  local ok, e = pcall(notify, about)
  if not ok then
    if type(e) == "string" then error(e, 0) end
    ml.log.warn("nobody was told of a pending approval: " .. tostring(e.message))
  end
end

local function wait(item, o)
  local summary = "approval of " .. item.name -- lists of runs show it, and `moonloop approvals` looks for it
  local function decided() return item.decision ~= nil end
  local first = o.remind and ml.time.add(ml.now(), o.remind)
  if first and not (item.deadline and ml.time.diff(first, item.deadline) >= 0) and not ml.await(decided, { till = first, summary = summary }) then
    item.reminded = ml.now()
    show()
    tell(o.notify, item, true)
  end
  return ml.await(decided, { till = item.deadline, summary = summary })
end

local function outcome(item, args)
  local d = item.decision
  if not d then -- nobody decided in time
    local yes = item.default == "approve"
    return { id = item.id, approved = yes, expired = true, args = args, digest = item.digest, reason = not yes and "nobody decided in time" or nil }
  end
  local edited = d.decision == "edit"
  return {
    id = item.id, approved = d.decision ~= "reject", edited = edited, args = edited and d.args or args, digest = item.digest,
    reason = d.reason, by = d.by, expired = false,
  }
end

--- Waits for the decision of one item; lua/moonloop's own way, with a kind and a schema of its arguments.
function M.ask(o)
  register()
  count = count + 1
  local args = o.args == nil and {} or o.args
  local item = {
    id = tostring(count), kind = o.kind or "step", name = o.name, text = o.text, args = args, digest = core.digest { name = o.name, args = args },
    asked_at = ml.now(), deadline = o.deadline and ml.time.add(ml.now(), o.deadline), default = o.default or "reject", schema = o.schema,
  }
  pending[#pending + 1] = item
  show()
  local _ <close> = setmetatable({}, { __close = function()
    local _, at = find(item.id)
    table.remove(pending, at)
    if not ml.cancel_requested() then show() end
  end })
  tell(o.notify, item, nil)
  wait(item, o)
  return outcome(item, args)
end

--- Asks a person and waits for the decision, days if need be.
function M.approve(o)
  core.check_options(o, "approve", "ml.approve")
  if type(o.name) ~= "string" then error("ml.approve: name says what is to be approved", 2) end
  return M.ask(o)
end

--- The arguments with which a tool that needs approval may be called now; a failure "Rejected" when it may not.
function M.gate(tool, args)
  local how = tool.approval
  if type(how) == "function" then how = how(args) end
  if not how then return args end
  if how == true then how = {} end
  local d = M.ask {
    kind = "tool", name = tool.name, text = how.text or tool.description, args = args, deadline = how.deadline, remind = how.remind, default = how.default,
    notify = how.notify, schema = fit.schema(tool.input),
  }
  if d.approved then return d.args, d end
  local text = ("%s was rejected%s"):format(tool.name, d.reason and ": " .. d.reason or "")
  ml.fail(text, { type = "Rejected", retryable = false, details = { reason = d.reason, by = d.by } })
end

return M
