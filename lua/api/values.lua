-- Values, JSON, time, logs, the environment: the same in workflows and activities.
local both, all = { "workflow", "activity" }, { "workflow", "activity", "top" }
local list = {
  { name = "ml.null", value = true, where = all, doc = "JSON's null. An absent value is nil." },
  { name = "ml.list", where = all, args = { { "t", "table", "" } }, returns = { { "list", "the same table" } }, doc = "Makes a table an array, also an empty one: a fresh `{}` is an object." },
  { name = "ml.bytes", where = all, args = { { "s", "string", "any bytes" } }, returns = { { "bytes", "`tostring` and `#` work on it" } }, doc = "Bytes as a value: arguments, results and signals carry them as they are. Texts are UTF-8." },
  { name = "ml.json.encode", where = all, args = { { "value", "any", "" }, { "options?", "table", "{ indent = true }" } }, returns = { { "string", "keys sorted" } },
    doc = "JSON text. Integers keep 64 bits, 1.0 stays a float.", errors = "what cannot be JSON, with the path to it: `value.a[1]: a function`" },
  { name = "ml.json.decode", where = all, args = { { "text", "string|bytes", "" } }, returns = { { "any", "" } }, doc = "The value of a JSON text; null is ml.null, arrays stay arrays when written again.", errors = "broken JSON, with the byte" },
  { name = "ml.json.pretty", where = all, args = { { "value", "any", "" } }, returns = { { "string", "" } }, doc = "JSON text with line breaks, for people.", errors = "as ml.json.encode" },

  { name = "ml.schema", where = all, args = { { "form", "table|string", "properties with their types; or one type" } }, returns = { { "schema", "" } },
    doc = "A JSON Schema by its shorthand: `{ caption = \"string<=280\", tags = \"string[]?\", platform = { \"x\", \"linkedin\" } }`. The guide has the grammar.", errors = "an unknown type, a bad bound; with the property's name" },
  { name = "ml.json_schema", where = all, options = "json_schema", args = { { "schema", "table|string", "a JSON Schema 2020-12, or its text" }, { "options?", "options:json_schema", "" } }, returns = { { "schema", "" } },
    doc = "A JSON Schema as it is written. The guide lists the keywords.", errors = "an unknown keyword or format, a bad pattern, a `$ref` that leads nowhere; with the place in the schema" },
  { name = "schema:json", where = all, returns = { { "string", "JSON, keys sorted" } }, doc = "The JSON Schema that is published. `ml.json.encode` of a schema, or of a value that holds one, writes the same." },
  { name = "schema:validate", where = all, args = { { "value", "any", "" } }, returns = { { "boolean?", "true, or nil" }, { "list?", "of `{ pointer, rule, message }`, at most 20" } },
    doc = "Whether a value fits. `pointer` is a JSON pointer (`/items/0/name`), `rule` the keyword it breaks (`maxLength`; `json` when the value cannot be JSON).", errors = "a check that takes more than 20,000,000 steps, or goes deeper than 300 schemas" },

  { name = "ml.time.now", where = both, returns = { { "string", "ISO 8601, UTC" } }, doc = "The same as ml.now." },
  { name = "ml.time.parse", where = all, args = { { "time", "time", "" } }, returns = { { "integer", "nanoseconds since 1970" } }, doc = "A time as a number.", errors = "no time" },
  { name = "ml.time.format", where = all, args = { { "time", "time", "" } }, returns = { { "string", "ISO 8601, UTC" } }, doc = "A time as a text.", errors = "no time" },
  { name = "ml.time.add", where = all, args = { { "time", "time", "" }, { "duration", "duration", "" } }, returns = { { "string", "ISO 8601, UTC" } }, doc = "A time later by a duration." },
  { name = "ml.time.diff", where = all, args = { { "a", "time", "" }, { "b", "time", "" } }, returns = { { "number", "seconds from b to a" } }, doc = "The distance of two times." },
  { name = "ml.time.duration", where = all, args = { { "duration", "duration", "" } }, returns = { { "number", "seconds" } }, doc = "A duration as a number.", errors = "no duration" },
  { name = "ml.time.fields", where = all, args = { { "time", "time", "" } }, returns = { { "table", "year, month, day, hour, min, sec, wday (1 is Sunday), yday, ns; UTC" } }, doc = "The parts of a time." },

  { name = "ml.env", where = all, args = { { "name", "string", "of the variable" }, { "default?", "string", "when it is not set" } }, returns = { { "env", "" } },
    doc = "A variable of the environment. It may stand at the top of a file; its value is looked up where it is used, in activities only, so that no run depends on the environment.",
    errors = "where it is used: in a workflow; `MissingEnv` when it is not set and has no default" },
  { name = "ml.secret", where = all, args = { { "name", "string", "of the variable that holds it" } }, returns = { { "secret", "" } },
    doc = "A secret by its name. It prints as its name and cannot be logged, recorded or joined to a text: give it to `auth` or to a header.",
    errors = "using it as a text; `MissingSecret` when it is not set" },
  { name = "secret:exists", where = { "activity" }, returns = { { "boolean", "" } }, doc = "Whether it is set (also to nothing: then false)." },
  { name = "ml.oauth2", where = all, options = "oauth2", args = { { "options", "options:oauth2", "" } }, returns = { { "oauth2", "for `auth`" } },
    doc = "Credentials: the token is fetched when first used, refreshed before it ends and once after a 401, kept in the process, never recorded.", errors = "where it is used: `AuthError`" },
}
for _, level in ipairs { "debug", "info", "warn", "error" } do
  list[#list + 1] = { name = "ml.log." .. level, where = both, args = { { "text", "any", "" }, { "fields?", "table", "" } },
    doc = "A log line at level " .. level .. ", with fields. Replay repeats none." }
end
return list
