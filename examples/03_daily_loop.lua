-- The main job: an agent loop that lives for days. Every step is an activity that fails and retries alone;
-- kill the process at any moment and run the same command again: it goes on, nothing is lost or done twice.
--   moonloop run examples/03_daily_loop.lua --clock virtual --input '{"days":14,"period":"1d"}'
-- With OPENAI_API_KEY (and OPENAI_BASE_URL) the model is a real one, else a stand-in.
local ml = require "moonloop"
local model = require "lib.model"

local retry = { max_attempts = 5, initial = "200ms", backoff = 2, max = "5s" }
-- An outside record of what was really done, one line an effect; the crash test compares it with the history.
local ledger = ml.env("LEDGER", "")
local function effect(step, day)
  local path = tostring(ledger)
  if path ~= "" then ml.fs.append(path, ("%s %s day=%d key=%s\n"):format(step, ml.info().workflow_id, day, ml.info().idempotency_key)) end
end

local read_numbers = ml.activity("read_numbers", { timeout = "10s", retry = retry }, function(day)
  effect("read_numbers", day)
  return { day = day, likes = (day * 37) % 100, views = 1000 + day * 61 }
end)

local ask_model = ml.activity("ask_model", { timeout = "90s", retry = retry }, function(numbers)
  effect("ask_model", numbers.day)
  local prompt = ("Yesterday (day %d): %d views, %d likes. Propose one post as JSON {idea, platform}."):format(numbers.day, numbers.views, numbers.likes)
  local text, by = model.ask(prompt)
  return { text = text, by = by }
end)

local render = ml.activity("render", { timeout = "30s", retry = retry }, function(day, idea)
  effect("render", day)
  return { asset = "asset-" .. ml.crypto.sha256(idea):sub(1, 12) .. ".png" }
end)

local publish = ml.activity("publish", { timeout = "30s", retry = retry }, function(day, post)
  effect("publish", day)
  return { url = "https://example.invalid/" .. post.platform .. "/" .. ml.info().idempotency_key:sub(1, 8) }
end)

local record = ml.activity("record", { timeout = "10s", retry = retry }, function(day, url)
  effect("record", day)
  ml.store.namespace("posts"):set(("%04d"):format(day), { url = url })
  return true
end)

-- A model's answer is text; what cannot be used becomes a plain post.
local function choose(text)
  local ok, plan = pcall(ml.json.decode, text:match("%b{}") or "")
  if ok and type(plan) == "table" and type(plan.idea) == "string" then
    return { idea = plan.idea, platform = plan.platform == "linkedin" and "linkedin" or "x" }
  end
  return { idea = text, platform = "x" }
end

ml.workflow("daily_loop", function(goal)
  goal = goal or {}
  local day, posts = goal.day or 1, goal.posts or ml.list {}
  ml.query("progress", function() return { day = day, posts = #posts } end)
  while day <= (goal.days or 14) do
    local numbers = read_numbers(day - 1)
    local answer = ask_model(numbers)
    local post = choose(answer.text)
    post.asset = render(day, post.idea).asset
    local receipt = publish(day, post)
    record(day, receipt.url)
    posts[#posts + 1] = { day = day, idea = post.idea, platform = post.platform, by = answer.by }
    ml.log.info("published", { day = day, idea = post.idea })
    day = day + 1
    if day <= (goal.days or 14) then ml.every(goal.period or "1d") end -- durable, without drift
    if ml.info().continue_as_new_suggested then ml.continue_as_new { days = goal.days, period = goal.period, day = day, posts = posts } end
  end
  return { days = day - 1, posts = posts }
end)
