-- Store, SQLite files, programs and files: activities, ml.setup and plain scripts only.
local a = { "activity" }
local path = { "path", "string|env", "" }
local list = {
  { name = "ml.store.get", where = a, args = { { "namespace", "string", "" }, { "key", "string", "" } }, returns = { { "any", "nil: not there" }, { "integer?", "its version" } }, doc = "A value of the durable key-value store in moonloop's file." },
  { name = "ml.store.set", where = a, options = "store_set", args = { { "namespace", "string", "" }, { "key", "string", "" }, { "value", "any", "" }, { "options?", "options:store_set", "" } },
    returns = { { "integer", "the new version" } }, doc = "Keeps a value." },
  { name = "ml.store.cas", where = a, options = "store_set", args = { { "namespace", "string", "" }, { "key", "string", "" }, { "version", "integer", "that it must have; 0: it must not be there" }, { "value", "any", "" }, { "options?", "options:store_set", "" } },
    returns = { { "boolean", "false: another version is there" } }, doc = "Keeps a value if nobody changed it meanwhile." },
  { name = "ml.store.delete", where = a, args = { { "namespace", "string", "" }, { "key", "string", "" } }, returns = { { "boolean", "whether it was there" } }, doc = "Forgets a value." },
  { name = "ml.store.list", where = a, options = "store_list", args = { { "namespace", "string", "" }, { "options?", "options:store_list", "" } }, returns = { { "list", "keys in byte order" } }, doc = "The keys of a namespace." },
  { name = "ml.store.namespace", where = a, args = { { "namespace", "string", "" } }, returns = { { "table", "get, set, cas, delete, list without the first argument" } }, doc = "A namespace as an object: `s:set(\"k\", 1)`." },
  { name = "ml.store.sql", where = a, args = { path }, returns = { { "sql", "" } }, doc = "Opens a SQLite file of your own, apart from moonloop's file. Its work runs off the loop." },
  { name = "sql:exec", where = a, args = { { "sql", "string", "one statement" }, { "parameters?", "table", "a list for `?`, or by name for `:name`" } }, returns = { { "table", "changes, last_id" } }, doc = "Runs a statement.", errors = "`SqlError`, with SQLite's text" },
  { name = "sql:query", where = a, args = { { "sql", "string", "one statement" }, { "parameters?", "table", "a list for `?`, or by name for `:name`" } }, returns = { { "list", "rows by column name" } }, doc = "Reads rows.", errors = "`SqlError`, with SQLite's text" },
  { name = "sql:close", where = a, doc = "Ends the use of the file." },
  { name = "ml.process.run", where = a, options = "process", args = { { "command", "options:process", "the program and its arguments as a list, options beside them" } }, returns = { { "result", "how it ended" } },
    doc = "Runs a program and waits for its end. There is no shell in between. A program that nobody waits for any more is killed with its group.", errors = "`Timeout`, `TooLarge`, `NotFound` (no such program); `ProcessFailed` with `check = true`" },
  { name = "result:ok", where = a, returns = { { "result", "itself, when the code is 0" } }, doc = "Raises for another code than 0.", errors = "`ProcessFailed`, details {code, signal}" },
  { name = "ml.fs.read", where = a, args = { path, { "options?", "table", "{ max_bytes = n }; 64 MiB by default" } }, returns = { { "string", "bytes" } }, doc = "A file's content." },
  { name = "ml.fs.write", where = a, args = { path, { "data", "string|bytes", "" }, { "options?", "table", "{ atomic = true }: written beside and renamed" } }, doc = "Writes a file." },
  { name = "ml.fs.append", where = a, args = { path, { "data", "string|bytes", "" } }, doc = "Adds to a file's end." },
  { name = "ml.fs.stat", where = a, args = { path }, returns = { { "table?", "size, type (file, directory, other), modified, mode, is_link; nil: not there" } }, doc = "What a path is." },
  { name = "ml.fs.exists", where = a, args = { path }, returns = { { "boolean", "" } }, doc = "Whether it is there." },
  { name = "ml.fs.list", where = a, args = { path }, returns = { { "list", "{name, type (file, directory, link, other)} in byte order" } }, doc = "What a folder holds." },
  { name = "ml.fs.mkdir", where = a, args = { path, { "options?", "table", "{ parents = false }: only this one" } }, doc = "Makes a folder, with those above it." },
  { name = "ml.fs.remove", where = a, args = { path, { "options?", "table", "{ recursive = true } for folders" } }, doc = "Removes a file or a folder." },
  { name = "ml.fs.rename", where = a, args = { { "from", "string|env", "" }, { "to", "string|env", "" } }, doc = "Renames a file or a folder." },
  { name = "ml.fs.copy", where = a, args = { { "from", "string|env", "" }, { "to", "string|env", "" } }, doc = "Copies a file." },
  { name = "ml.fs.temp_dir", where = a, args = { { "prefix?", "string", "of its name" } }, returns = { { "string", "its path" } }, doc = "Makes a folder of its own. Who makes it removes it." },
  { name = "ml.fs.dirname", where = a, args = { path }, returns = { { "string", "" } }, doc = "The folder of a path." },
  { name = "ml.fs.basename", where = a, args = { path }, returns = { { "string", "" } }, doc = "The last part of a path." },
}
for _, entry in ipairs(list) do
  if entry.name:find("^ml%.fs%.") and not entry.errors and not entry.name:find("name$") then entry.errors = "`NotFound`, `Exists`, `IoError`" end
end
return list
