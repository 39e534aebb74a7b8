-- Asks a model over HTTP (OpenAI's chat completions, or anything compatible). Without OPENAI_API_KEY a small stand-in
-- answers: it knows nothing, it only lets the examples run without a key and without a network.
local ml = require "moonloop"
local M = {}

local key = ml.secret "OPENAI_API_KEY"
local base = ml.env("OPENAI_BASE_URL", "https://api.openai.com/v1")
local name = ml.env("OPENAI_MODEL", "gpt-4.1-mini")

local function stand_in(prompt)
  local topics = { "tides", "lighthouses", "knots", "charts", "storms", "harbours", "sails" }
  local pick = topics[tonumber(ml.crypto.sha256(prompt):sub(1, 7), 16) % #topics + 1]
  return ml.json.encode { idea = "A short story about " .. pick, platform = #pick % 2 == 0 and "x" or "linkedin" }
end

-- One question, one answer (text). Called inside activities only. options.stream = function(piece) gets the text as it comes.
function M.ask(prompt, options)
  options = options or {}
  if not key:exists() then return stand_in(prompt), "stand-in" end
  local request = { model = tostring(name), messages = ml.list { { role = "user", content = prompt } } }
  local url = tostring(base) .. "/chat/completions"
  if not options.stream then
    local answer = ml.http.post(url, { json = request, auth = key, timeout = "60s" }):ok():json()
    return answer.choices[1].message.content, answer.model
  end
  request.stream = true
  local parts = {}
  local res = ml.http.post(url, { json = request, auth = key, timeout = "60s", sse = true }):ok()
  for event in res:events() do
    if event.data == "[DONE]" then break end
    local delta = ml.json.decode(event.data).choices[1].delta
    if delta.content and delta.content ~= ml.null then
      parts[#parts + 1] = delta.content
      options.stream(delta.content)
    end
  end
  return table.concat(parts), request.model
end

return M
