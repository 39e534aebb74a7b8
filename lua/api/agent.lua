-- Models, agents and people: what is written in lua/moonloop over the other names.
local w, a, all = { "workflow" }, { "activity" }, { "workflow", "activity", "top" }
local model_errors = "`RateLimited`, `Overloaded`, `ServerError`, `StreamCut`, `BadResponse`, `EmptyAnswer`: retryable, Retry-After kept; `ContextTooLong`, `Refused`, `BadRequest`, `AuthError`, `UnknownModel`, `OutOfCredit`: not"
local both = { "workflow", "activity" }
local input = { "input", "string|list", "a text, or messages { role, content }" }
local agent_errors = "`LimitReached` (live, or rejected by a person), `BadOutput`, `BadToolCalls`, and the model's own"
return {
  { name = "ml.agent", where = { "top" }, options = "agent", args = { { "spec", "options:agent", "`name` and `model` are needed" } }, returns = { { "agent", "" } },
    doc = "Defines an agent: a model, instructions and tools, in a loop (`lua/moonloop/agent.lua`, to be read and copied)." },
  { name = "agent:run", where = both, options = "agent_run", args = { input, { "options?", "options:agent_run", "" } },
    returns = { { "any", "its answer: a text, or with `output` a value" }, { "table", "{usage, turns, tool_calls, messages, agent}" } },
    doc = "Runs until the agent has answered. In a workflow each model call (`moonloop.model`) and each tool call is an activity, recorded once; elsewhere it is live.", errors = agent_errors },
  { name = "agent:stream", where = a, options = "agent_run", args = { input, { "options?", "options:agent_run", "" } },
    returns = { { "function", "for event in agent:stream(messages); a handler may return it as it is (server-sent events): {type = text|reasoning|tool_call|tool_result|agent|repair|compacted|restarted|done}" } },
    doc = "Runs live and gives what happens as it comes; the last event is {type = `done`, result, usage, turns, messages}.", errors = agent_errors },
  { name = "ml.mcp", where = { "top" }, options = "mcp", args = { { "spec", "options:mcp", "`name`, and `url` or `command`" } }, returns = { { "mcp", "to be listed among an agent's tools" } },
    doc = "Names an MCP server. An agent that has it among its tools may use all that it offers (or those that `tools` names)." },
  { name = "mcp:list", where = both, returns = { { "list", "of {name, description, input}" } }, doc = "The server's tools. In a workflow an activity, recorded once.",
    errors = "`HttpError`, `AuthError`, `Connection`, `Timeout`, `McpError` (what the server says), `Unsupported` (its version)" },
  { name = "mcp:call", where = both, args = { { "tool", "string", "" }, { "args?", "table", "" } }, returns = { { "any", "its structured content, else its text, else {content}" } },
    doc = "Calls a tool. In a workflow an activity, tried once unless `retry` says otherwise.", errors = "`McpToolError`: the tool failed; as mcp:list" },
  { name = "ml.approve", where = w, options = "approve", args = { { "what", "options:approve", "" } },
    returns = { { "table", "{approved, args, edited, reason, by, expired, digest}" } },
    doc = "Asks a person and waits for the decision: `moonloop approvals`, or the update `moonloop.decide` {id, decision = approve|reject|edit, digest, args, reason, by}." },
  { name = "ml.promise", where = w, options = "promise", args = { { "options?", "options:promise", "" } }, returns = { { "promise", "" } },
    doc = "Makes a promise of this run: a signed URL to which somebody outside posts a value. `moonloop serve` takes it; the activity `moonloop.promise_url` makes the URL, recorded once.",
    errors = "`NoAddress`, `NoResumeKey`: the URL could not be made" },
  { name = "promise:await", where = w, returns = { { "any", "the JSON that was posted" } }, doc = "Waits until the promise is resolved.", errors = "`Timeout`: nobody did in time; `Rejected`: details = {reason}" },
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
