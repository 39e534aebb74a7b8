-- ml.tool: one definition, called from a workflow, from an activity and by itself; the decision rule.
local t = require "support"

local adder = [[
  local add = ml.tool { name = "add", description = "Adds", input = { type = "object" }, run = function(args, call)
    return { sum = args.a + args.b, tool = call.tool }
  end }
]]

local function refused(definition)
  local r = t.run(definition .. "\nml.workflow('w', function() end)")
  assert.equal(2, r.code)
  return r.err
end

describe("ml.tool", function()
  it("is an activity of its own name in a workflow", function()
    local r = t.run(adder .. "ml.workflow('w', function() return { add { a = 1, b = 9007199254740993 }, add.mode, add.name, add.description } end)",
      { args = { "--id", "x" }, history = "x" })
    assert.equal(0, r.code, r.err)
    assert.same({ { sum = 9007199254740994, tool = "add" }, "live", "add", "Adds" }, r.value)
    local types = {}
    for _, e in ipairs(r.history.events) do
      local a = e.activityTaskScheduledEventAttributes
      if a then types[#types + 1] = a.activityType.name end
    end
    assert.same({ "add" }, types)
  end)
  it("is called by an activity in place", function()
    assert.same({ sum = 3, tool = "add" }, (t.activity("return add { a = 1, b = 2 }", { top = adder })))
  end)
  it("may be called without arguments, and with nothing but a table", function()
    local v = t.activity([[
      local ok, e = pcall(none, 5)
      return { none(), ok, tostring(e) }]], { top = "local none = ml.tool { name = 'none', run = function(args) return next(args) == nil end }" })
    assert.is_true(v[1])
    assert.is_false(v[2])
    assert.matches("takes a table of arguments, not a number", v[3])
  end)
  it("ends a live call at its deadline, and says so", function()
    local v = t.activity([[
      local ok, e = pcall(slow, {})
      return { ok, e.type, e.retryable, e.message }]],
      { top = "local slow = ml.tool { name = 'slow', deadline = '20ms', run = function() ml.sleep(30) end }", args = { "--clock", "real" } })
    assert.same({ false, "ToolTimeout", true, "tool slow did not answer within 20ms" }, v)
  end)
  it("cannot be live when it has side effects, costs, or takes minutes", function()
    assert.matches("s.lua:2: ml.tool: pay declares side effects .* cannot be live", refused "ml.tool { name = 'pay', effects = true, run = function() end }")
    assert.matches("a live tool has a deadline of at most 60 seconds", refused "ml.tool { name = 'pay', deadline = '2m', run = function() end }")
    assert.matches('cost is reserved by what is accepted, so it needs mode = "durable"', refused "ml.tool { name = 'pay', cost = 1, run = function() end }")
  end)
  it("refuses a definition that models could not call", function()
    assert.matches("name is up to 64 letters", refused "ml.tool { name = 'a b', run = function() end }")
    assert.matches("name is up to 64 letters", refused("ml.tool { name = '" .. ("x"):rep(65) .. "', run = function() end }"))
    assert.matches("x has no run", refused "ml.tool { name = 'x' }")
    assert.matches("unknown option 'descripton' %(did you mean 'description'%?%)", refused "ml.tool { name = 'x', descripton = '', run = function() end }")
    assert.matches('"x" is defined twice', refused "ml.activity('x', { timeout = '1s' }, function() end)\nml.tool { name = 'x', run = function() end }")
  end)
end)

describe("tool:async", function()
  it("goes on in a workflow", function()
    assert.equal(10, (t.workflow("local f, g = add:async { a = 1, b = 2 }, add:async { a = 3, b = 4 }; return f:await().sum + g:await().sum", { top = adder })))
  end)
  it("goes on in an activity", function()
    assert.equal(10, (t.activity("local f, g = add:async { a = 1, b = 2 }, add:async { a = 3, b = 4 }; return f:await().sum + g:await().sum", { top = adder })))
  end)
end)
