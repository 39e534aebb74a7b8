-- Makes the C tables that the script room is built with: the Lua modules of lua/moonloop (text, the prelude also as bytecode)
-- and the options of lua/api/options.lua. Usage: lua5.4 gen_tables.lua OPTIONS OUT_DIR MODULE.lua...
-- A module whose first line begins with "-- run-side" goes into every bundle. Names behind a colon in that line ("-- run-side: all race",
-- "-- host-side: llm") are those of the moonloop table that the module defines: it is loaded when one of them is first used.
local options_path, out_dir = arg[1], arg[2]

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("a")
  f:close()
  return text
end

local function write(name, text)
  local path = out_dir .. "/" .. name
  local f = io.open(path, "rb")
  local old = f and f:read("a")
  if f then f:close() end
  if old == text then text = old end
  f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\t"] = "\\t", ["?"] = "\\?" }
local function literal(text)
  local lines = {}
  for line in (text .. "\n"):sub(1, #text):gmatch("[^\n]*\n?") do
    if line ~= "" then
      lines[#lines + 1] = '    "' .. line:gsub('[%c\\"?\128-\255]', function(c)
        return escapes[c] or string.format("\\%03o", c:byte())
      end) .. '"'
    end
  end
  return #lines == 0 and '    ""' or table.concat(lines, "\n")
end

local function bytes(data)
  local out = {}
  for i = 1, #data, 24 do
    local row = { data:byte(i, i + 23) }
    out[#out + 1] = "    " .. table.concat(row, ",") .. ","
  end
  return table.concat(out, "\n")
end

-- builtin modules
local modules, prelude = {}, nil
for i = 3, #arg do
  local name, text = arg[i]:match("/moonloop/([%w_/]+)%.lua$"):gsub("/", "."), read(arg[i])
  assert(load(text, "@moonloop/" .. name:gsub("%.", "/") .. ".lua", "t"))
  if name == "prelude" then prelude = text else modules[#modules + 1] = { name = "moonloop." .. name, text = text } end
end
table.sort(modules, function(a, b) return a.name < b.name end)
local c = { '/* Made by scripts/gen_tables.lua: the Lua modules that are part of the program. */', '#include "script/bundle.h"', "" }
c[#c + 1] = "extern const unsigned char prelude_code[];\n" ..
  "extern const size_t prelude_code_n;\nextern const char prelude_text[];\nextern const size_t prelude_text_n;"
c[#c + 1] = "const unsigned char prelude_code[] = {\n" .. bytes(string.dump(load(prelude, "=moonloop", "t"))) .. "\n};"
c[#c + 1] = "const size_t prelude_code_n = sizeof prelude_code;"
c[#c + 1] = "const char prelude_text[] =\n" .. literal(prelude) .. ";"
c[#c + 1] = "const size_t prelude_text_n = sizeof prelude_text - 1;"
c[#c + 1] = "const struct builtin_module builtin_modules[] = {"
for _, m in ipairs(modules) do
  local run_side = m.text:match("^%-%- run%-side") ~= nil
  c[#c + 1] = string.format('{"%s",\n%s,\n    %d, %s},', m.name, literal(m.text), #m.text, tostring(run_side))
end
c[#c + 1] = "{0, 0, 0, false}};"
c[#c + 1] = "const struct builtin_name builtin_names[] = {"
for _, m in ipairs(modules) do
  local side, names = m.text:match("^%-%- (%l+)%-side: ([^\n]*)")
  for name in (names or ""):gmatch("[%w_]+") do c[#c + 1] = string.format('    {"%s", "%s", %s},', name, m.name, tostring(side == "run")) end
end
c[#c + 1] = "    {0, 0, false}};"
write("builtin_table.c", table.concat(c, "\n") .. "\n")

-- options
local options = assert(loadfile(options_path, "t", {}))()
local function keys(t)
  local out = {}
  for k in pairs(t) do out[#out + 1] = k end
  table.sort(out)
  return out
end
local plain = { string = 1, integer = 1, number = 1, boolean = 1, duration = 1, time = 1, table = 1, list = 1, ["function"] = 1, any = 1 }
c = { "/* Made by scripts/gen_tables.lua from lua/api/options.lua. */", '#include "script/api_table.h"', "" }
for _, set in ipairs(keys(options)) do
  c[#c + 1] = string.format("static const struct api_option options_%s[] = {", set)
  for _, name in ipairs(keys(options[set])) do
    local type = options[set][name]:gsub("%?$", "")
    local other = type:match("^options:([%w_]+)$")
    assert(plain[type] or type:match("^enum:[%w_|]+$") or (other and options[other]), set .. "." .. name .. ": unknown type " .. type)
    c[#c + 1] = string.format('    {"%s", "%s"},', name, type)
  end
  c[#c + 1] = "    {0, 0}};"
end
c[#c + 1] = "const struct api_options api_options_table[] = {"
for _, set in ipairs(keys(options)) do c[#c + 1] = string.format('    {"%s", options_%s},', set, set) end
c[#c + 1] = "    {0, 0}};"
write("api_table.c", table.concat(c, "\n") .. "\n")
