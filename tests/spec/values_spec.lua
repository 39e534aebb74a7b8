-- Values and helpers that workflows and activities share: one describe per name of lua/api.
local t = require "support"

local function both(body)
  return t.workflow(body), t.activity(body)
end

local function same_in_both(expected, body)
  local a, b = both(body)
  assert.same(expected, a)
  assert.same(expected, b)
end

describe("ml.null", function()
  it("is JSON's null, unlike nil", function()
    same_in_both({ true, true, "null" }, "local v = ml.json.decode('{\"a\":null}'); return { v.a == ml.null, v.b == nil, tostring(ml.null) }")
  end)
end)

describe("ml.list", function()
  it("makes an empty table an array", function()
    same_in_both({ "[]", "{}", "[1]" }, "return { ml.json.encode(ml.list {}), ml.json.encode({}), ml.json.encode({ 1 }) }")
  end)
end)

describe("ml.bytes", function()
  it("carries any bytes through an activity", function()
    assert.equal("00ff80", t.workflow("return hex(ml.bytes('\\0\\255\\128'))", { top = "local hex = ml.activity('hex', { timeout = '5s' }, function(b) return ml.crypto.hex(b) end)" }))
  end)
end)

describe("ml.json.encode", function()
  it("sorts keys, keeps 64-bit integers and floats apart", function()
    same_in_both('{"a":9007199254740993,"b":1.0,"c":[true,"x"]}', "return ml.json.encode { c = { true, 'x' }, b = 1.0, a = 9007199254740993 }")
  end)
  it("names the path of what cannot be JSON", function()
    for _, case in ipairs { { "{ a = { f = print } }", "a.f" }, { "{ 0/0 }", "[1]" }, { "{ s = '\\255' }", "s" } } do
      local v = t.workflow(("local ok, e = pcall(ml.json.encode, %s); return { ok, tostring(e) }"):format(case[1]))
      assert.equal(false, v[1])
      assert.matches(case[2], v[2], 1, true)
    end
  end)
end)

describe("ml.json.decode", function()
  it("reads what encode writes, and tells where text is broken", function()
    same_in_both({ 9007199254740993, "float", "integer" },
      "local v = ml.json.decode('[9007199254740993, 1.0, 1]'); return { v[1], math.type(v[2]), math.type(v[3]) }")
    local v = t.workflow "local ok, e = pcall(ml.json.decode, '{\"a\":}'); return { ok, tostring(e) }"
    assert.equal(false, v[1])
    assert.matches("5", v[2])
  end)
end)

describe("ml.json.pretty", function()
  it("indents", function()
    same_in_both(true, "return ml.json.pretty({ a = { 1 } }):find('\\n') ~= nil")
  end)
end)

describe("ml.time.parse", function()
  it("gives nanoseconds", function()
    same_in_both(1772355600000000000, "return ml.time.parse('2026-03-01T09:00:00Z')")
    same_in_both(1772352000000000000, "return ml.time.parse('2026-03-01T09:00:00+01:00')")
  end)
end)

describe("ml.time.format", function()
  it("gives ISO text", function()
    same_in_both("2026-03-01T09:00:00Z", "return ml.time.format(1772355600000000000)")
  end)
end)

describe("ml.time.duration", function()
  it("reads durations into seconds", function()
    same_in_both({ 5400, 0.25 }, "return { ml.time.duration('1h30m'), ml.time.duration('250ms') }")
  end)
end)

describe("ml.time.add", function()
  it("adds a duration to a time", function()
    same_in_both("2026-03-04T09:00:00Z", "return ml.time.add('2026-03-01T09:00:00Z', '3d')")
  end)
end)

describe("ml.time.diff", function()
  it("is the seconds from the second to the first", function()
    same_in_both({ 5400.0, -0.5 }, "return { ml.time.diff('2026-03-01T10:30:00Z', '2026-03-01T09:00:00Z'), ml.time.diff(0, 500000000) }")
  end)
end)

describe("ml.time.fields", function()
  it("takes a time apart", function()
    same_in_both({ 2026, 3, 1, 9, 5, 7, 250000000, 1, 60 }, [[
      local f = ml.time.fields("2026-03-01T09:05:07.25Z")
      return { f.year, f.month, f.day, f.hour, f.min, f.sec, f.ns, f.wday, f.yday }]])
  end)
end)

describe("ml.time.now", function()
  it("is the time of ml.now", function()
    assert.is_true((t.workflow "return ml.time.now() == ml.now()"))
    assert.is_true((t.activity "local a = ml.now(); local b = ml.time.now(); return a <= b and ml.time.diff(b, a) < 5"))
  end)
end)

describe("ml.crypto.sha256", function()
  it("is the hex digest", function()
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", t.activity "return ml.crypto.sha256('abc')")
  end)
end)

describe("ml.crypto.hmac_sha256", function()
  it("matches RFC 4231 case 2", function()
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", t.activity "return ml.crypto.hmac_sha256('Jefe', 'what do ya want for nothing?')")
  end)
end)

describe("ml.crypto.base64_encode", function()
  it("encodes", function() assert.equal("Zm9vYg==", t.activity "return ml.crypto.base64_encode('foob')") end)
end)

describe("ml.crypto.base64_decode", function()
  it("decodes", function() assert.equal("foob", t.activity "return ml.crypto.base64_decode('Zm9vYg==')") end)
end)

describe("ml.crypto.hex", function()
  it("writes bytes as hex", function() assert.equal("00ff", t.activity "return ml.crypto.hex('\\0\\255')") end)
end)

describe("ml.crypto.random", function()
  it("gives so many bytes, another time others", function()
    assert.same({ 16, true }, t.activity "local a, b = ml.crypto.random(16), ml.crypto.random(16); return { #a, a ~= b }")
  end)
end)

describe("ml.crypto.uuid", function()
  it("gives a UUID", function() assert.equal(36, t.activity "return #ml.crypto.uuid()") end)
end)

describe("ml.crypto.equal", function()
  it("compares without telling where", function() assert.same({ true, false }, t.activity "return { ml.crypto.equal('a', 'a'), ml.crypto.equal('a', 'b') }") end)
end)

for _, level in ipairs { "debug", "info", "warn", "error" } do
  describe("ml.log." .. level, function()
    it("writes a line with fields, once, not on replay", function()
      local r = t.run(("ml.workflow('w', function() ml.log.%s('spoken', { n = 1 }) ml.sleep('1s') end)"):format(level), { env = { MOONLOOP_LOG = "debug" } })
      local _, n = r.err:gsub("spoken", "")
      assert.equal(1, n, r.err)
      assert.matches(level, r.err)
    end)
  end)
end

describe("ml.schema", function()
  it("is a JSON Schema by its shorthand, the same in workflows and activities", function()
    same_in_both('{"additionalProperties":false,"properties":{"at":{"format":"date-time","type":"string"},"caption":{"maxLength":280,"type":"string"},"inner":{"additionalProperties":false,"properties":{"n":{"minimum":1,"type":"integer"}},"required":["n"],"type":"object"},"platform":{"enum":["x","linkedin"],"type":"string"},"tags":{"items":{"type":"string"},"type":"array"}},"required":["at","caption","inner","platform"],"type":"object"}',
      [[local inner = ml.schema { n = "integer>=1" }
      return ml.schema { platform = { "x", "linkedin" }, caption = "string<=280", at = "datetime", tags = "string[]?", inner = inner }:json()]])
  end)
  it("names the property and the type that is wrong", function()
    same_in_both({ false, true }, [[local ok, e = pcall(ml.schema, { post = { caption = "strng" } })
      return { ok, tostring(e):find('post.caption: unknown type "strng"', 1, true) ~= nil }]])
  end)
  it("may stand at the top of a file and be written into a value", function()
    assert.equal('{"tool":{"type":"string"}}', t.workflow("return ml.json.encode { tool = s }", { top = "local s = ml.schema 'string'" }))
  end)
end)

describe("ml.json_schema", function()
  it("is a schema as it is written, also from its text", function()
    same_in_both({ '{"minimum":1,"type":"integer"}', '{"minimum":1,"type":"integer"}', true },
      [[local a, b = ml.json_schema { type = "integer", minimum = 1 }, ml.json_schema '{"type":"integer", "minimum":1}'
      return { a:json(), tostring(b), ml.json_schema(a) == a }]])
  end)
  it("refuses what it does not know, unless it is from elsewhere", function()
    same_in_both({ false, true, true }, [[local ok, e = pcall(ml.json_schema, { properties = { a = { minlength = 1 } } })
      local lenient = ml.json_schema({ minlength = 1 }, { lenient = true })
      return { ok, tostring(e):find('at #/properties/a: unknown keyword "minlength" (did you mean "minLength"?)', 1, true) ~= nil, lenient:validate("") }]])
  end)
end)

describe("schema:json", function()
  it("is the published text, keys sorted", function()
    same_in_both('{"description":"d","type":"string"}', "return ml.json_schema({ type = 'string', description = 'd' }):json()")
  end)
end)

describe("schema:validate", function()
  it("is true for what fits, else nil and what does not", function()
    same_in_both({ true, "nil", "/tags/1 type must be string, is number", "/who required is missing", "required" },
      [[local s = ml.schema { who = "string", tags = "string[]?" }
      local ok = s:validate { who = "a", tags = { "x" } }
      local bad, errors = s:validate { tags = { "x", 2 } }
      table.sort(errors, function(a, b) return a.pointer < b.pointer end)
      local function text(e) return e.pointer .. " " .. e.rule .. " " .. e.message end
      return { ok, tostring(bad), text(errors[1]), text(errors[2]), errors[2].rule }]])
  end)
  it("takes a value that cannot be JSON as one that does not fit", function()
    same_in_both({ "json", true }, [[local _, errors = ml.schema({}):validate({ f = print })
      return { errors[1].rule, errors[1].message:find("value.f", 1, true) ~= nil }]])
  end)
  it("ends a check that would take too long", function()
    same_in_both(true, [[local s = ml.json_schema { anyOf = { { items = { ["$ref"] = "#" }, type = "array" }, { items = { ["$ref"] = "#" }, type = "array", minItems = 1 } } }
      local v = ml.json.decode(("["):rep(60) .. "1" .. ("]"):rep(60))
      local ok, e = pcall(s.validate, s, v)
      return not ok and tostring(e):find("too many steps", 1, true) ~= nil]])
  end)
end)

describe("ml.env", function()
  it("is resolved where activities run", function()
    assert.equal("here!", t.workflow("return get()", { env = { SPEC_ENV = "here" }, top = "local e = ml.env('SPEC_ENV'); local get = ml.activity('get', { timeout = '5s' }, function() return e .. '!' end)" }))
  end)
  it("has a default, and raises in a workflow", function()
    assert.equal("d", t.workflow("return get()", { top = "local e = ml.env('SPEC_NOT_SET', 'd'); local get = ml.activity('get', { timeout = '5s' }, function() return tostring(e) end)" }))
    local r = t.run("local e = ml.env('SPEC_ENV')\nml.workflow('w', function() return e .. '' end)", { env = { SPEC_ENV = "x" } })
    assert.equal(3, r.code)
    assert.matches("activity", r.err)
  end)
end)

describe("secret:exists", function()
  it("tells whether it is set, not what it is", function()
    assert.same({ true, false }, (t.activity("return { ml.secret('SPEC_SECRET'):exists(), ml.secret('SPEC_NOT_SET'):exists() }",
      { env = { SPEC_SECRET = "canary-value" } })))
  end)
end)

describe("ml.secret", function()
  it("prints as its name and cannot be recorded", function()
    local v, r = t.workflow("return get()", { env = { SPEC_SECRET = "canary-value" }, top = [[
      local s = ml.secret("SPEC_SECRET")
      local get = ml.activity("get", { timeout = "5s", retry = { max_attempts = 1 } }, function()
        ml.log.info("the secret is " .. tostring(s))
        local ok = pcall(ml.json.encode, { s = s })
        return { tostring(s), ok }
      end)]] })
    assert.matches("SPEC_SECRET", v[1])
    assert.equal(false, v[2])
    assert.is_nil((r.out .. r.err):find("canary-value", 1, true))
  end)
end)
