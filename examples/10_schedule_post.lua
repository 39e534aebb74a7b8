-- Mode 2: a tool that commits to something in the world. It answers "scheduled" within milliseconds, when the post, its credits, the
-- key, the audit row and the workflow are on the disk together; the workflow waits for the time and publishes, whatever happens meanwhile.
--   moonloop token create --scope posts:write --credits 100 --rate 60/min       prints the token
--   PUBLISHER_URL=... PUBLISHER_TOKEN_URL=... PUBLISHER_SECRET=... PUBLISHER_REFRESH=... moonloop serve examples/10_schedule_post.lua
--   curl -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: monday" --json @post.json localhost:8080/content/schedule-post
local ml = require "moonloop"

local publisher = ml.env "PUBLISHER_URL"
-- Access tokens are fetched, kept and fetched again when they have run out (or were answered with 401); they are never recorded.
local account = ml.oauth2 {
  token_url = ml.env "PUBLISHER_TOKEN_URL", client_id = "moonloop", client_secret = ml.secret "PUBLISHER_SECRET", refresh_token = ml.secret "PUBLISHER_REFRESH",
}

-- The address is the caller's choice, so it goes through the guard: no address inside of our network is looked at.
local looks = { initial = "200ms", max = "1m", max_attempts = 20, non_retryable = { "AddressBlocked" } }
local verify_asset = ml.activity("verify_asset", { timeout = "20s", retry = looks }, function(url)
  local res = ml.http.head(url, { guard = true })
  if res.status == 404 or res.status == 410 then ml.fail("there is no asset " .. url, { type = "NoAsset", retryable = false }) end
  res:ok()
  if not (res.headers["content-type"] or ""):find("^image/") then ml.fail(url .. " is no image", { type = "NoAsset", retryable = false }) end
end)

-- Tried for a week. All attempts show the publisher one key, so that an attempt whose answer was lost publishes nothing twice.
local publish = ml.activity("publish", { timeout = "30s", schedule_to_close = "7d", retry = { initial = "200ms", backoff = 2, max = "10m" } }, function(post)
  local res = ml.http.post(tostring(publisher) .. "/posts", {
    json = { platform = post.platform, caption = post.caption, assetUrl = post.assetUrl }, auth = account, idempotency_key = ml.info().idempotency_key,
  })
  if res.status == 422 then ml.fail("refused: " .. res:json().error, { type = "CaptionRefused", retryable = false }) end
  return res:ok():json()
end)

-- Writes to the row of the post, in the commit that records this activity.
local mark = ml.activity("mark", { timeout = "10s" }, function(id, changes) ml.db:update("posts", id, changes) end)

ml.workflow("schedule_post", function(post)
  local withdrawn = ml.channel("withdraw"):receive { till = post.scheduledAt }
  if withdrawn then
    mark(post.id, { state = "withdrawn" })
    ml.fail("the post was withdrawn", { type = "Withdrawn" }) -- a run that fails gives the credits back
  end
  local ok, receipt = pcall(function()
    verify_asset(post.assetUrl)
    return publish(post)
  end)
  if not ok then
    mark(post.id, { state = "refused", why = receipt.cause.type })
    ml.fail(receipt.cause)
  end
  mark(post.id, { state = "published", url = receipt.url })
  return { state = "published", id = post.id, url = receipt.url }
end)

local schedule_post = ml.tool {
  name = "schedule_post", description = "Publish a post at a time. It is accepted at once and published when the time has come.", mode = "durable",
  scope = "posts:write", rate = "600/min", cost = 5,
  input = ml.schema { platform = { "x", "linkedin" }, caption = "string<=280", scheduledAt = "datetime", assetUrl = "url" },
  run = function(args, call)
    args.state, args.owner = "scheduled", call.principal
    local post = call.db:insert("posts", args)
    return ml.accept {
      workflow = "schedule_post", id = "schedule-post:" .. post.id, entity = post.id, input = post, status = "scheduled",
      message = "Scheduled for " .. args.scheduledAt,
    }
  end,
}

local function own(req) -- a post of another key is not there
  local post = ml.db:get("posts", req.params.id)
  return post and post.owner == req.principal and post or error(ml.problem { type = "not-found", detail = "there is no such post" }, 0)
end

local api = ml.api { auth = "bearer" }
api:post("/content/schedule-post", schedule_post)
api:get("/content/posts/{id}", { scope = "posts:write" }, own)
api:post("/content/posts/{id}/withdraw", { scope = "posts:write" }, function(req)
  ml.client.run("schedule-post:" .. own(req).id):signal("withdraw")
  return ml.response { status = 202, json = { status = "withdrawing" } }
end)

return { schedule_post = schedule_post }
