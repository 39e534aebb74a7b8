-- Models, agents and people: what is written in lua/moonloop over the other names.
local w, a, all = { "workflow" }, { "activity" }, { "workflow", "activity", "top" }
local model_errors = "`RateLimited`, `Overloaded`, `ServerError`, `StreamCut`, `BadResponse`, `EmptyAnswer`: retryable, Retry-After kept; `ContextTooLong`, `Refused`, `BadRequest`, `AuthError`, `UnknownModel`, `OutOfCredit`: not"
local _ = w
return {
  { name = "ml.model", where = all, options = "model", args = { { "name", "string|env", "`provider:name`: openai, responses (OpenAI's newer interface), anthropic, openrouter, mistral, groq, deepseek, ollama; any name with a base_url" }, { "options?", "options:model", "" } },
    returns = { { "model", "" } }, doc = "A model: which one, where, with which key. Made at the top of a file; nothing is asked yet." },
  { name = "model:chat", where = a, options = "llm", args = { { "request", "options:llm", "" } }, returns = { { "table", "as ml.llm.chat" } }, doc = "ml.llm.chat with this model.", errors = model_errors },
  { name = "ml.llm.chat", where = a, options = "llm", args = { { "request", "options:llm", "" } },
    returns = { { "table", "{text, tool_calls, message, stop = end|tools|length, usage = {input, cached, cache_write, output, reasoning, nano_usd}, model, provider}; `message` is what the next request's messages go on with" } },
    doc = "Asks a model and waits for the whole answer.", errors = model_errors },
  { name = "ml.llm.stream", where = a, options = "llm", args = { { "request", "options:llm", "" } }, returns = { { "function", "for event in ml.llm.stream{...}; the last one is {type = `done`, answer}" } },
    doc = "Asks a model and gives the pieces of its answer as they come.", errors = model_errors },
  { name = "ml.llm.price", where = a, args = { { "name", "string", "of a model" } }, returns = { { "table?", "{input, cached, cache_write, output}: USD for a million tokens" } }, doc = "What a model costs, from the table in `lua/moonloop/llm/prices.lua`." },
}
