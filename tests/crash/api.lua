-- What scripts/crash-api kills: calls that are accepted, whose runs write rows too; one in five is refused, so that its credits come back.
local ml = require "moonloop"

local publish = ml.activity("publish", { timeout = "30s", retry = { initial = "10ms" } }, function(post)
  if post.n % 5 == 0 then ml.fail("refused", { type = "Refused", retryable = false }) end
  ml.db:update("posts", post.id, { state = "published" })
  ml.db:insert("receipts", { id = post.id })
  return post.id
end)

ml.workflow("publish", function(post)
  ml.sleep(0.01)
  return publish(post)
end)

local schedule = ml.tool { name = "schedule", mode = "durable", scope = "posts", cost = 3, input = ml.schema { n = "integer" },
  run = function(args, call)
    local post = call.db:insert("posts", { n = args.n, state = "waiting" })
    return ml.accept { workflow = "publish", id = "publish:" .. post.id, entity = post.id, input = { id = post.id, n = args.n }, message = "n " .. args.n }
  end }

ml.migrate { posts = { unique = { "n" } } }
ml.api { auth = "bearer" }:post("/posts", schedule)
