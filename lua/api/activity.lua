-- What only activities, ml.setup and plain scripts have: attempts, HTTP, hashes.
local a = { "activity" }
local http_args = { { "url", "string|env", "" }, { "options?", "options:http", "" } }
local http_returns = { { "response", "of any status: `:ok()` raises from 400 on" } }
local http_errors = "`Timeout`, `Connect`, `Connection`, `Tls`, `TooLarge`, `TooManyRedirects`, `BadUrl`, `BadRequest`: what kept an answer from coming"
local list = {
  { name = "ml.heartbeat", where = a, args = { { "...", "any", "details: what the next attempt needs to go on" } },
    doc = "Says that the attempt is alive. The next attempt finds the last details in `ml.info().heartbeat_details`. Sent at most a few times in the heartbeat's time-out.",
    errors = "a cancellation or a pause of the activity is delivered at the next call that waits" },
  { name = "ml.complete_later", where = a, returns = { { "string", "the token that completes it" } },
    doc = "The activity will be completed from outside: its function's return ends nothing. Its time-outs go on.", errors = "in a local activity" },
  { name = "ml.complete", where = a, args = { { "token", "string", "of ml.complete_later" }, { "value?", "any", "the activity's result" } }, doc = "Completes an activity by its token.",
    errors = "`NotFound`: nothing waits for that token" },
  { name = "ml.complete_failed", where = a, args = { { "token", "string", "of ml.complete_later" }, { "failure", "failure|string", "a table {type, message, retryable, details}, or a message" }, { "options?", "options:fail", "with a message" } },
    doc = "Fails an activity by its token.", errors = "`NotFound`: nothing waits for that token" },

  { name = "ml.http.request", where = a, options = "http", args = { { "method", "string", "" }, { "url", "string|env", "" }, { "options?", "options:http", "" } }, returns = http_returns,
    doc = "Sends an HTTP request and waits for the answer. TLS certificates are checked, connections are used again.", errors = http_errors },
}
for _, method in ipairs { "get", "head", "post", "put", "patch", "delete" } do
  list[#list + 1] = { name = "ml.http." .. method, where = a, options = "http", args = http_args, returns = http_returns, doc = "ml.http.request with " .. method:upper() .. ".", errors = http_errors }
end
for _, entry in ipairs {
  { name = "response:ok", where = a, returns = { { "response", "itself, when the status is below 400" } }, doc = "Raises for a status from 400 on. 408, 425, 429 and 5xx are retryable, and a Retry-After is kept; the others are not.",
    errors = "`HttpError`, details {status, body}" },
  { name = "response:json", where = a, returns = { { "any", "" } }, doc = "The body as a value.", errors = "`BadResponse`: not JSON; a streamed response has no body" },
  { name = "response:chunks", where = a, returns = { { "function", "for piece in res:chunks()" } }, doc = "The pieces of a streamed body (`stream = true`) as they come." },
  { name = "response:events", where = a, returns = { { "function", "for event in res:events(): {event, data, id}" } }, doc = "The server-sent events of a streamed body (`sse = true`)." },
  { name = "response:close", where = a, doc = "Ends a streamed response early." },

  { name = "ml.crypto.sha256", where = a, args = { { "text", "string|bytes", "" } }, returns = { { "string", "64 hex digits" } }, doc = "SHA-256." },
  { name = "ml.crypto.hmac_sha256", where = a, args = { { "key", "string|secret", "" }, { "text", "string|bytes", "" } }, returns = { { "string", "64 hex digits" } }, doc = "HMAC with SHA-256." },
  { name = "ml.crypto.random", where = a, args = { { "n", "integer", "how many, up to 1 MiB" } }, returns = { { "string", "bytes" } }, doc = "Bytes from the system's randomness." },
  { name = "ml.crypto.base64_encode", where = a, args = { { "text", "string|bytes", "" } }, returns = { { "string", "" } }, doc = "Base64." },
  { name = "ml.crypto.base64_decode", where = a, args = { { "text", "string", "" } }, returns = { { "string", "bytes" } }, doc = "The bytes of a base64 text.", errors = "not base64" },
  { name = "ml.crypto.hex", where = a, args = { { "text", "string|bytes", "" } }, returns = { { "string", "" } }, doc = "Bytes as hex digits." },
  { name = "ml.crypto.uuid", where = a, returns = { { "string", "36 characters" } }, doc = "The same as ml.uuid." },
  { name = "ml.crypto.equal", where = a, args = { { "a", "string|secret", "" }, { "b", "string|secret", "" } }, returns = { { "boolean", "" } }, doc = "Compares without telling by its time where they differ." },
} do list[#list + 1] = entry end
return list
