-- The data of lua/api, the specs and the running program name the same things: nothing is missing, nothing is invented.
local t = require "support"

local names, titles = t.names(), t.titles()
local entry_of = {}
for _, e in ipairs(names) do entry_of[e.name] = e end

local function has(e, where)
  for _, w in ipairs(e.where) do
    if w == where then return true end
  end
  return false
end

local first_names = {}
for _, e in ipairs(names) do first_names[#first_names + 1] = ("%q"):format(e.name:match("^ml%.([%w_]+)") or "null") end

-- What the moonloop table holds, by dotted name, with its type. Names that come when they are first used are used.
local list_table = "local first_names = { " .. table.concat(first_names, ", ") .. " }" .. [[

local function listed()
  local out = {}
  local function walk(table, prefix, depth)
    for key, value in pairs(table) do
      local name = prefix .. "." .. tostring(key)
      if type(value) == "table" and depth < 2 then walk(value, name, depth + 1) else out[name] = type(value) end
    end
  end
  for _, name in ipairs(first_names) do pcall(function() return ml[name] end) end
  walk(ml, "ml", 0)
  return out
end
]]

-- Objects of each class, for its methods.
local a_tool = "local tool = ml.tool { name = 'tool', run = function() end }\nlocal agent = ml.agent { name = 'agent', model = 'openai:x' }\n"
a_tool = a_tool .. "local mcp_server = ml.mcp { name = 'm', url = 'http://127.0.0.1:1/' }\n"
local in_workflow = [[
  local objects = { activity = act, future = ml.spawn(function() end), child = ml.child("inner"), handle = ml.child("inner"):start(),
    external = ml.external("x"), channel = ml.channel("x"), random = ml.random("x"), promise = ml.promise { base = "http://127.0.0.1:1" }, tool = tool, model = ml.model("openai:x"), agent = agent }
  ml.saga(function(s) objects.saga = s end)]]
local in_activity = [[
  local file = input .. "/own.db"
  local res = ml.http.get(ml.env("URL"), { stream = true })
  local objects = { activity = other, future = ml.spawn(function() end), secret = ml.secret("X"), sql = ml.store.sql(file), response = res,
    result = ml.process.run { "true" }, run = ml.client.run("x"), update = ml.client.run("x"):get_update("u"), schedule = ml.client.schedule("x"), tool = tool, db = ml.db, model = ml.model("openai:x"), agent = agent }
  ml.saga(function(s) objects.saga = s end)]]
local methods = [[
  objects.schema, objects.mcp = ml.schema("any"), mcp_server
  local found = {}
  for class, object in pairs(objects) do
    for _, method in ipairs(wanted[class] or {}) do
      local ok, value = pcall(function() return object[method] end)
      found[class .. ":" .. method] = ok and type(value) or tostring(value)
    end
  end
  return found]]

local function wanted(where)
  local classes = {}
  for _, e in ipairs(names) do
    local class, method = e.name:match("^(%w+):([%w_]+)$")
    if class and has(e, where) then
      classes[class] = classes[class] or {}
      table.insert(classes[class], ("%q"):format(method))
    end
  end
  local parts = {}
  for class, list in pairs(classes) do parts[#parts + 1] = class .. " = { " .. table.concat(list, ", ") .. " }" end
  return "local wanted = { " .. table.concat(parts, ", ") .. " }\n"
end

local function sorted(list)
  table.sort(list)
  return table.concat(list, ", ")
end

describe("the data of lua/api", function()
  it("has a describe of exactly its title for each name", function()
    local missing = {}
    for _, e in ipairs(names) do
      if not titles[e.name] then missing[#missing + 1] = e.name end
    end
    assert.equal("", sorted(missing))
  end)

  it("knows every name that a describe is about", function()
    local unknown = {}
    for title in pairs(titles) do
      if (title:find("^ml%.[%w_.]+$") or title:find("^%l+:[%w_]+$")) and not entry_of[title] then unknown[#unknown + 1] = title end
    end
    assert.equal("", sorted(unknown))
  end)

  local function compare(held, where)
    local missing, unknown = {}, {}
    for _, e in ipairs(names) do
      if e.name:find("^ml%.") and has(e, where) and not held[e.name] then missing[#missing + 1] = e.name end
    end
    for name in pairs(held) do
      if not entry_of[name] then unknown[#unknown + 1] = name end
    end
    assert.equal("", sorted(missing), "in the data, not in the program")
    assert.equal("", sorted(unknown), "in the program, not in the data")
  end

  it("is what a workflow has", function()
    local held = t.workflow("return listed()", { top = list_table })
    compare(held, "workflow")
    compare(held, "top")
  end)

  it("is what an activity has", function()
    local held = t.activity("return listed()", { top = list_table })
    compare(held, "activity")
    compare(held, "top")
  end)

  local function all_functions(found, where)
    local bad = {}
    for _, e in ipairs(names) do
      if e.name:find("^%w+:") and has(e, where) and found[e.name] ~= "function" then bad[#bad + 1] = e.name .. " is " .. tostring(found[e.name]) end
    end
    assert.equal("", sorted(bad))
  end

  it("has the methods of a workflow's objects", function()
    local top = "ml.workflow('inner', function() end)\nlocal act = ml.activity('act', { timeout = '1s' }, function() end)\n" .. a_tool .. wanted "workflow"
    all_functions(t.workflow(in_workflow .. methods, { top = top, args = { "--workflow", "w" } }), "workflow")
  end)

  it("has the methods of an activity's objects", function()
    local d = t.dir {}
    local server = t.http_server()
    local ok, e = pcall(function()
      all_functions(t.activity(wanted "activity" .. in_activity .. methods, { top = a_tool .. "local other = ml.activity('other', { timeout = '1s' }, function() end)", input = '"' .. d.path .. '"', env = { URL = server.url .. "/echo" } }), "activity")
    end)
    server:stop()
    d:remove()
    if not ok then error(e, 0) end
  end)
end)

describe("the generated files", function()
  it("are those of the data", function()
    local p = io.popen(("cd '%s' && lua5.4 scripts/gen_docs.lua --check 2>&1"):format(t.root))
    local said = p:read("a")
    assert.is_true(p:close() or false, said)
  end)
end)
