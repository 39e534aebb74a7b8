-- What models cost: USD for a million tokens. Prices change; ml.model(name, { price = {...} }) overrides, and a model that is
-- not here has no price (a limit in money then refuses to begin).
-- Sources, read in November 2026: developers.openai.com/api/docs/pricing (standard processing; GPT-4.1 and older by their model
-- pages) and platform.claude.com/docs/en/about-claude/pricing (cache_write is the five-minute cache).
local M = {}

local function claude(input, output, cached) return { input = input, output = output, cached = cached or input * 0.1, cache_write = input * 1.25 } end

local haiku_5_5 = claude(0.10, 0.50, 0.01)
haiku_5_5.long = claude(0.50, 2.50, 0.05) -- prompts above 100,000 tokens
haiku_5_5.long.over = 100000

M.table = {
  ["gpt-4.1"] = { input = 2.00, cached = 0.50, output = 8.00 },
  ["gpt-4.1-mini"] = { input = 0.40, cached = 0.10, output = 1.60 },
  ["gpt-4.1-nano"] = { input = 0.10, cached = 0.025, output = 0.40 },
  ["gpt-4o"] = { input = 2.50, cached = 1.25, output = 10.00 },
  ["gpt-4o-mini"] = { input = 0.15, cached = 0.075, output = 0.60 },
  ["gpt-5"] = { input = 1.25, cached = 0.125, output = 10.00 },
  ["gpt-5-mini"] = { input = 0.25, cached = 0.025, output = 2.00 },
  ["gpt-5-nano"] = { input = 0.05, cached = 0.005, output = 0.40 },
  ["gpt-5.1"] = { input = 1.25, cached = 0.125, output = 10.00 },
  ["gpt-5.2"] = { input = 1.75, cached = 0.175, output = 14.00 },
  ["gpt-5.4"] = { input = 2.50, cached = 0.25, output = 15.00 },
  ["gpt-5.4-mini"] = { input = 0.75, cached = 0.075, output = 4.50 },
  ["o3"] = { input = 2.00, cached = 0.50, output = 8.00 },
  ["o4-mini"] = { input = 1.10, cached = 0.275, output = 4.40 },
  ["claude-opus-4-1"] = claude(15, 75),
  ["claude-opus-4-5"] = claude(5, 25),
  ["claude-opus-4-6"] = claude(5, 25),
  ["claude-opus-4-7"] = claude(5, 25),
  ["claude-opus-4-8"] = claude(5, 25),
  ["claude-opus-5"] = claude(5, 25),
  ["claude-opus-5-5"] = claude(4, 20, 0.20),
  ["claude-sonnet-4-5"] = claude(3, 15),
  ["claude-sonnet-4-6"] = claude(3, 15),
  ["claude-sonnet-5"] = claude(2, 10),
  ["claude-sonnet-5-5"] = claude(2, 10, 0.10),
  ["claude-haiku-4-5"] = claude(1, 5),
  ["claude-haiku-5-5"] = haiku_5_5,
}

--- By a model's name, also with the date of a snapshot behind it ("gpt-4.1-mini-2025-04-14"); nil when it is not known.
function M.find(name)
  if M.table[name] then return M.table[name] end
  local base = name:match("^(.-)%-%d%d%d%d%-?%d%d%-?%d%d$") or name:match("^(.-)%-latest$")
  return base and M.table[base] or nil
end

return M
