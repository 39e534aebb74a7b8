-- Routes for `moonloop serve`: what is defined at the top, and what handlers give and are given.
local top, a, handler = { "top" }, { "activity" }, { "handler" }
local function method(name)
  return { name = "api:" .. name, where = top, options = "route", args = { { "path", "string", "`/posts/{id}`; `{rest...}` at the end takes all that is left" },
    { "options?", "options:route", "" }, { "handler", "function|tool", "fn(req), or a tool" } }, returns = { { "api", "itself" } },
    doc = "A route for " .. name:upper() .. ". What the handler returns is the answer: a table is JSON, a text is text, nil is 204; or ml.response, ml.problem, ml.stream." }
end
return {
  { name = "ml.api", where = top, options = "api", args = { { "options?", "options:api", "" } }, returns = { { "api", "its methods define routes" } }, doc = "Routes that `moonloop serve` answers." },
  method "get", method "post", method "put", method "patch", method "delete",
  { name = "api:route", where = top, options = "route", args = { { "method", "string", "any method" }, { "path", "string", "" }, { "options?", "options:route", "" }, { "handler", "function|tool", "" } },
    returns = { { "api", "itself" } }, doc = "A route for another method." },
  { name = "api:static", where = top, args = { { "path", "string", "" }, { "folder", "string", "beside the script" } }, returns = { { "api", "itself" } },
    doc = "Serves the files of a folder, with ETag and Last-Modified. Hidden files and links are not there." },
  { name = "api:mcp", where = top, options = "mcp_route", args = { { "path?", "string", "`/mcp`" }, { "options?", "options:mcp_route", "" } }, returns = { { "api", "itself" } },
    doc = "Offers the script's tools to MCP clients over streamable HTTP; each tool's call goes through its boundary with the caller's token." },
  { name = "ml.webhook", where = { "workflow", "activity", "top" }, options = "webhook", args = { { "spec", "options:webhook", "`secret` is needed" } }, returns = { { "webhook", "for `auth` of a route" } },
    doc = "Callers that sign the raw body: Standard Webhooks or GitHub. A message that comes twice is handled once: its id is the idempotency key." },
  { name = "ml.response", where = a, options = "response", args = { { "options", "options:response", "" } }, returns = { { "response_out", "" } }, doc = "An answer with a status, headers and a body of one's own." },
  { name = "ml.problem", where = a, args = { { "problem", "table", "as RFC 9457 has them: type (a word; those of the guide's table bring their status), status, title, detail; headers; other members go along" } }, returns = { { "problem", "to return, or to raise with error()" } },
    doc = "An error as an answer, `application/problem+json`." },
  { name = "ml.stream", where = a, options = "stream", args = { { "fn", "function", "fn(send): send(text), or send { event =, data =, id = } for server-sent events" }, { "options?", "options:stream", "" } },
    returns = { { "stream", "" } }, doc = "An answer that is sent piece by piece; send waits while the reader is behind. A function that a handler returns is the same." },
  { name = "ml.follow", where = a, options = "follow", args = { { "id", "string", "of a workflow" }, { "options?", "options:follow", "" } }, returns = { { "follow", "" } },
    doc = "An answer that is the events of a run (server-sent events): its history, and what its activities tell by ml.progress. Who comes back with `Last-Event-ID` misses nothing." },
  { name = "ml.progress", where = a, args = { { "value", "any", "at most 40 KiB of JSON" } }, doc = "In an activity: tells the listeners of its run (ml.follow) something. It is not recorded, and may be dropped." },
  { name = "request:json", where = handler, returns = { { "any", "" } }, doc = "The body, decoded.", errors = "a problem 400, `bad-json`" },
  { name = "request:form", where = handler, returns = { { "table", "by name; of a repeated name the first" } }, doc = "The fields of a form (`application/x-www-form-urlencoded`).", errors = "a problem 415, `media-type`" },
}
