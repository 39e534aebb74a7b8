-- Makes lua/meta/moonloop.lua (LuaLS types) and lua/REFERENCE.md from the data in lua/api.
-- Usage, in the root of the project: lua5.4 scripts/gen_docs.lua [--check]     (--check: fails when a file is not up to date)
local check = arg[1] == "--check"
local names = assert(loadfile("lua/api/names.lua"))("lua/api")
local options = assert(loadfile("lua/api/options.lua"))()
local option_docs = assert(loadfile("lua/api/option_docs.lua"))()
local classes = assert(loadfile("lua/api/classes.lua"))()

local function sorted(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

-- ---- the data is whole ----
local class_of = {}
for _, c in ipairs(classes) do class_of[c.name] = c end
local plain = { string = "string", integer = "integer", number = "number", boolean = "boolean", ["function"] = "function", table = "table",
  any = "any", list = "any[]", duration = "string|number", time = "string|integer" }

local function lua_type(type, where)
  local out = {}
  for one in type:gsub("%?$", ""):gmatch("[^|]+") do
    local set = one:match("^options:(.+)$")
    if set then assert(options[set], where .. ": no options " .. set) end
    assert(set or plain[one] or class_of[one], where .. ": unknown type " .. one)
    out[#out + 1] = set and "moonloop.options." .. set or plain[one] or "moonloop." .. one
  end
  return table.concat(out, "|") .. (type:find("%?$") and "?" or "")
end

local seen = {}
for _, e in ipairs(names) do
  assert(not seen[e.name], e.name .. " is there twice")
  seen[e.name] = true
  assert(e.doc and #e.where > 0, e.name .. ": doc and where are needed")
  local class = e.name:match("^(%w+):")
  assert(not class or class_of[class], e.name .. ": no such class")
  assert(not e.options or options[e.options], e.name .. ": no options " .. tostring(e.options))
end
for _, set in ipairs(sorted(options)) do
  for _, name in ipairs(sorted(options[set])) do assert((option_docs[set] or {})[name], "option_docs: " .. set .. "." .. name .. " is missing") end
end
for _, set in ipairs(sorted(option_docs)) do
  for _, name in ipairs(sorted(option_docs[set])) do assert((options[set] or {})[name], "option_docs: " .. set .. "." .. name .. " is no option") end
end

-- ---- LuaLS ----
local function option_type(type, where)
  local values = type:match("^enum:([^?]+)")
  if not values then return lua_type(type:gsub("%?$", ""), where) end
  return (values:gsub("[^|]+", '"%0"'))
end

local function meta()
  local out = { "---@meta moonloop", "-- Made by scripts/gen_docs.lua from lua/api: do not edit.", "", "---@class moonloop", "local ml = {}", "" }
  local function add(...) for _, line in ipairs { ... } do out[#out + 1] = line end end
  for _, set in ipairs(sorted(options)) do
    add("---@class moonloop.options." .. set)
    if set == "process" then add("---@field [integer] string the program and its arguments") end
    for _, name in ipairs(sorted(options[set])) do
      local type = options[set][name]
      add(("---@field %s%s %s %s"):format(name, type:find("%?$") and "?" or "", option_type(type, set .. "." .. name), option_docs[set][name]))
    end
    add("")
  end
  for _, c in ipairs(classes) do
    add("--- " .. c.doc, "---@class moonloop." .. c.name)
    for _, f in ipairs(c.fields or {}) do add(("---@field %s %s %s"):format(f[1], f[2], f[3])) end
    if c.call then add("---@overload " .. c.call) end
    add(("local %s = {}"):format(c.name), "")
  end
  local tables = {}
  for _, e in ipairs(names) do
    local space = e.name:match("^ml%.(%w+)%.")
    if space and not tables[space] then
      tables[space] = true
      add(("ml.%s = {}"):format(space), "")
    end
    add("--- " .. e.doc)
    add("--- In: " .. table.concat(e.where, ", ") .. "." .. (e.errors and " Errors: " .. e.errors .. "." or ""))
    if e.value then
      add("---@type any", e.name .. " = nil", "")
    else
      local params = {}
      for _, a in ipairs(e.args or {}) do
        local name, optional = a[1]:gsub("%?$", "")
        params[#params + 1] = name
        add(("---@param %s%s %s %s"):format(name, optional > 0 and "?" or "", lua_type(a[2], e.name), a[3]))
      end
      for _, r in ipairs(e.returns or {}) do add(("---@return %s # %s"):format(lua_type(r[1], e.name), r[2])) end
      add(("function %s(%s) end"):format(e.name, table.concat(params, ", ")), "")
    end
  end
  add("return ml", "")
  return (table.concat(out, "\n"):gsub("[ \t]+\n", "\n"))
end

-- ---- the reference ----
local function cell(s) return (s:gsub("|", "\\|")) end

local function signature(e)
  if e.value then return e.name end
  local params = {}
  for _, a in ipairs(e.args or {}) do params[#params + 1] = a[1]:find("%?$") and "[" .. a[1]:sub(1, -2) .. "]" or a[1] end
  return ("%s(%s)"):format(e.name, table.concat(params, ", "))
end

local function section_of(name)
  local class, space = name:match("^(%w+):"), name:match("^(ml%.%w+)%.")
  return class or space
end

local function reference()
  local out = { "# Reference", "", "Made by `scripts/gen_docs.lua` from `lua/api`: do not edit. The guide is [README.md](README.md).", "",
    "A *duration* is a text such as `\"90s\"`, `\"1h30m\"`, `\"2d\"`, or seconds. A *time* is an ISO 8601 text or integer nanoseconds since 1970.",
    "`W`: in a workflow. `A`: in an activity, `ml.setup` or a plain script. `T`: at the top of a file.",
    "`H`: in a handler of `moonloop serve`, where also what has `A` works.", "" }
  local function add(...) for _, line in ipairs { ... } do out[#out + 1] = line end end
  local letters = { workflow = "W", activity = "A", top = "T", handler = "H" }
  local function entry(e)
    local where = {}
    for i, w in ipairs(e.where) do where[i] = letters[w] end
    add(("#### `%s`"):format(signature(e)), "", ("%s &nbsp; `%s`"):format(e.doc, table.concat(where, " ")), "")
    for _, a in ipairs(e.args or {}) do
      local name, type = a[1]:gsub("%?$", ""), a[2]:gsub("options:([%w_]+)", "[options](#options-%1)")
      if a[3] ~= "" or type ~= a[2] then add(("- `%s` (%s)%s"):format(name, type, a[3] ~= "" and ": " .. a[3] or "")) end
    end
    for i, r in ipairs(e.returns or {}) do add(("- returns%s %s%s"):format(i > 1 and " then" or "", r[1], r[2] ~= "" and ": " .. r[2] or "")) end
    if e.errors then add("- errors: " .. e.errors) end
    add("")
  end
  add("## Names", "")
  for _, e in ipairs(names) do
    if not section_of(e.name) then entry(e) end
  end
  local done = {}
  for _, e in ipairs(names) do
    local section = section_of(e.name)
    if section and not done[section] then
      done[section] = true
      add(("## %s"):format(section), "")
      local c = class_of[section]
      if c then
        add(c.doc, "")
        for _, f in ipairs(c.fields or {}) do add(("- `%s.%s` (%s): %s"):format(section, f[1], f[2], f[3])) end
        if c.fields then add("") end
      end
      for _, other in ipairs(names) do
        if section_of(other.name) == section then entry(other) end
      end
    end
  end
  for _, c in ipairs(classes) do
    if not done[c.name] then
      add("## " .. c.name, "", c.doc, "")
      for _, f in ipairs(c.fields or {}) do add(("- `%s` (%s): %s"):format(f[1], f[2], f[3])) end
      if c.fields then add("") end
    end
  end
  add("## Options", "")
  for _, set in ipairs(sorted(options)) do
    add(('<a id="options-%s"></a>'):format(set), ("### %s"):format(set), "", "| option | type | meaning |", "|---|---|---|")
    for _, name in ipairs(sorted(options[set])) do
      local type = options[set][name]:gsub("%?$", "")
      local values = type:match("^enum:(.+)$")
      if values then type = "`" .. values:gsub("|", "`, `") .. "`" end
      type = type:gsub("options:([%w_]+)", "[%1](#options-%1)")
      add(("| `%s` | %s | %s |"):format(name, type, cell(option_docs[set][name])))
    end
    add("")
  end
  return (table.concat(out, "\n"):gsub("[ \t]+\n", "\n"))
end

-- ---- files ----
local status = 0
for path, text in pairs { ["lua/meta/moonloop.lua"] = meta(), ["lua/REFERENCE.md"] = reference() } do
  local f = io.open(path, "rb")
  local old = f and f:read("a")
  if f then f:close() end
  if old ~= text then
    if check then
      io.stderr:write(path, " is not up to date: run lua5.4 scripts/gen_docs.lua\n")
      status = 1
    else
      f = assert(io.open(path, "wb"))
      f:write(text)
      f:close()
    end
  end
end
os.exit(status)
