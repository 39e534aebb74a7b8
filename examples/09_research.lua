-- A research agent with a budget and a person: it searches and reads as long as its money lasts, may ask for more, and what it wants
-- to publish waits until somebody has approved exactly that text.
--   OPENAI_API_KEY=... moonloop run examples/09_research.lua --id tides --input '{"question":"Why are there two tides a day?"}'
--   moonloop approvals                                               (in another terminal: what waits, with its arguments)
--   moonloop approvals approve tides        | reject tides --reason "no sources" | edit tides '{"title":"...","text":"..."}'
local ml = require "moonloop"

local sources = ml.env("SOURCES_URL", "https://en.wikipedia.org/w/rest.php/v1")

local search = ml.tool {
  name = "search", description = "Search for pages; gives titles and excerpts", input = ml.schema { query = "string<=200" },
  run = function(args)
    local pages = ml.http.get(sources .. "/search/page", { query = { q = args.query, limit = 5 }, timeout = "10s" }):ok():json().pages
    local out = ml.list {}
    for i, p in ipairs(pages) do out[i] = { title = p.title, key = p.key, excerpt = p.excerpt } end
    return out
  end,
}

local notify = ml.activity("notify", { timeout = "30s", retry = { max_attempts = 5 } }, function(item)
  ml.log.info(item.reminder and "still waiting for a decision" or "a decision is wanted", { name = item.name, id = item.id })
end)

local publish = ml.tool {
  name = "publish", description = "Publish the finished article", input = ml.schema { title = "string<=120", text = "string" },
  approval = { deadline = "7d", remind = "1d", notify = notify, text = "An article is ready" },
  run = function(args)
    ml.store.namespace("articles"):set(ml.info().workflow_id, args)
    return { published = args.title }
  end,
}

local writer = ml.agent {
  name = "writer", model = ml.env("MODEL", "openai:gpt-4.1-mini"),
  instructions = "Research the question with the search tool, then publish a short article with its sources. Afterwards answer with one sentence.",
  tools = { search, publish }, limits = { turns = 30, cost = "0.05 USD" }, compact = { after = 30000 },
}

ml.workflow("research", function(task)
  local answer, took = writer:run(task.question)
  return { answer = answer, turns = took.turns, nano_usd = took.usage.nano_usd }
end)
