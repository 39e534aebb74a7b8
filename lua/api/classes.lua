-- The types that the API gives to scripts: what they are, whether they are called, and their fields. Methods are in the lists of names.
return {
  { name = "activity", call = "fun(...: any): any", doc = "A defined activity. Calling it in a workflow schedules it and waits for its result." },
  { name = "tool", call = "fun(args?: table): any", doc = "A defined tool. Calling it runs it through its boundary; in a workflow it schedules it and waits.", fields = {
    { "name", "string", "" }, { "description", "string", "" }, { "mode", "string", "live or durable" }, { "input", "table", "the schema of its arguments" } } },
  { name = "db", doc = "The script's tables: `call.db` of a tool or handler, and `ml.db` in an activity. Reads see what is committed; writes are intents." },
  { name = "future", doc = "Something that will be done: an activity, a child, a spawned coroutine." },
  { name = "child", call = "fun(...: any): any", doc = "A workflow type with options. Calling it starts a child and waits for its result." },
  { name = "handle", doc = "A started child.", fields = { { "id", "string", "its workflow id" }, { "run_id", "string", "its run id" } } },
  { name = "run", doc = "A run as ml.client sees it, by its id.", fields = { { "id", "string", "its workflow id" }, { "run_id", "string?", "its run id" }, { "existing", "boolean?", "ml.client.start: it was there already" } } },
  { name = "schedule", doc = "A schedule of a Temporal server, by its id.", fields = { { "id", "string", "" } } },
  { name = "external", doc = "Another run, by its id." },
  { name = "channel", doc = "The signals of one name, in the order in which they came." },
  { name = "saga", doc = "What undoes the steps that were done." },
  { name = "random", call = "fun(low?: integer, high?: integer): number", doc = "A named stream of chance: called as math.random is." },
  { name = "env", doc = "A variable of the environment, resolved where it is used: a text in activities, an error in a workflow." },
  { name = "secret", doc = "A secret, by its name. Only the HTTP layer (and ml.crypto.hmac_sha256, ml.crypto.equal) reads its value." },
  { name = "oauth2", doc = "Credentials whose token is fetched, kept and refreshed in the process." },
  { name = "agent", doc = "A model, instructions and tools, in a loop." },
  { name = "model", doc = "A language model, by its name." },
  { name = "mcp", doc = "An MCP server whose tools an agent may use (`tools = { server }`).", fields = { { "name", "string", "" } } },
  { name = "schema", doc = "A JSON Schema. `tostring` gives its JSON." },
  { name = "bytes", doc = "Bytes that are carried as they are." },
  { name = "api", doc = "Routes that `moonloop serve` answers." },
  { name = "request", doc = "What a handler is given.", fields = {
    { "method", "string", "" }, { "path", "string", "as it was sent" }, { "pattern", "string", "the route's path" }, { "params", "table<string, string>", "what stood for {name}" },
    { "query", "table<string, string>", "of a repeated name the first" }, { "query_string", "string", "as it was sent" }, { "headers", "table<string, string>", "by lower-case name" },
    { "body", "string", "" }, { "input", "any", "of a route with `input`: JSON, form or query, and the path's parameters" }, { "principal", "any", "who calls" },
    { "remote", "string", "address and port" }, { "host", "string", "" } } },
  { name = "response_out", doc = "An answer with a status and headers." },
  { name = "problem", doc = "An error as an answer (RFC 9457).", fields = { { "status", "integer", "" }, { "type", "string", "" }, { "title", "string", "" }, { "detail", "string?", "" } } },
  { name = "stream", doc = "An answer that is sent piece by piece." },
  { name = "response", doc = "The answer to an HTTP request.", fields = {
    { "status", "integer", "the status" }, { "headers", "table<string, string>", "by lower-case name" },
    { "body", "string?", "absent when streamed" }, { "url", "string", "after redirects" }, { "method", "string", "that was sent" } } },
  { name = "result", doc = "How a program ended.", fields = {
    { "code", "integer", "its exit code" }, { "signal", "integer", "that ended it, or 0" }, { "stdout", "string", "" }, { "stderr", "string", "" }, { "program", "string", "" } } },
  { name = "sql", doc = "A SQLite file of the user's own." },
  { name = "failure", doc = "What pcall gives for a failure.", fields = {
    { "type", "string", "what to decide by" }, { "message", "string", "for people" }, { "retryable", "boolean", "whether another attempt may help" },
    { "kind", "string", "application, timeout, canceled, terminated, server, activity or child" }, { "details", "any", "what ml.fail was given" },
    { "cause", "moonloop.failure?", "what it wraps: an activity's own failure" }, { "timeout_type", "string?", "of a timeout: start_to_close, schedule_to_start, schedule_to_close or heartbeat" },
    { "retry_after", "number?", "seconds that the next attempt should wait" }, { "retry_state", "string?", "of an activity or child: why it was not tried again" } } },
}
