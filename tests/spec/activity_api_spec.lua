-- What activities and plain scripts can do: one describe per name of lua/api.
local t = require "support"

describe("activity:inline", function()
  it("runs the body in place, saying so", function()
    assert.equal(6, t.activity("return double:inline(3)", { top = "local double = ml.activity('double', { timeout = '5s' }, function(n) return n * 2 end)" }))
  end)
  it("is needed: calling an activity from an activity raises", function()
    local v = t.activity("local ok, e = pcall(double, 3); return { ok, tostring(e) }",
      { top = "local double = ml.activity('double', { timeout = '5s' }, function(n) return n * 2 end)" })
    assert.equal(false, v[1])
    assert.matches("inline", v[2])
  end)
end)

describe("ml.setup", function()
  it("runs once where activities run, before them", function()
    assert.equal("ready", t.activity("return state", { top = "local state = 'not ready'; ml.setup(function() state = 'ready' end)" }))
  end)
end)

describe("ml.heartbeat", function()
  it("keeps its details for the next attempt", function()
    local v = t.workflow("return work()", { top = [[
      local work = ml.activity("work", { timeout = "10s", heartbeat = "5s", retry = { max_attempts = 2, initial = "1s" } }, function()
        local before = ml.info().heartbeat_details
        if before then return before end
        ml.heartbeat { at = 7 }
        error("again")
      end)]] })
    assert.same({ at = 7 }, v)
  end)
end)

-- A file of its own for the token: the same spec may run several times at once.
local function token_file()
  local d = t.dir {}
  return d, ('"%s/token"'):format(d.path)
end

describe("ml.complete_later", function()
  it("lets the activity be completed from outside, by its token", function()
    local d, path = token_file()
    local v = t.workflow([[
      local f = ask:async(input)
      ml.sleep("1s")
      answer(input)
      return f:await()]], { input = path, clock = "real", top = [[
      local ask = ml.activity("ask", { timeout = "1h" }, function(path) ml.fs.write(path, ml.complete_later()) end)
      local answer = ml.activity("answer", { timeout = "5s" }, function(path) ml.complete(ml.fs.read(path), { said = "yes" }); ml.fs.remove(path) end)]] })
    d:remove()
    assert.same({ said = "yes" }, v)
  end)
end)

describe("ml.complete", function()
  it("refuses a token that is none", function()
    local v = t.activity("local ok, e = pcall(ml.complete, 'nonsense', 1); return { ok, e.message ~= nil }")
    assert.same({ false, true }, v)
  end)
end)

describe("ml.complete_failed", function()
  it("fails the activity from outside", function()
    local d, path = token_file()
    local v = t.workflow([[
      local f = ask:async(input)
      ml.sleep("1s")
      answer(input)
      local ok, e = pcall(f.await, f)
      return { ok, e.cause.type, e.cause.message }]], { input = path, clock = "real", top = [[
      local ask = ml.activity("ask", { timeout = "1h", retry = { max_attempts = 1 } }, function(path) ml.fs.write(path, ml.complete_later()) end)
      local answer = ml.activity("answer", { timeout = "5s" }, function(path)
        ml.complete_failed(ml.fs.read(path), { type = "Refused", message = "no", retryable = false })
        ml.fs.remove(path)
      end)]] })
    d:remove()
    assert.same({ false, "Refused", "no" }, v)
  end)
end)

-- ---- http, against a server of the standard library ----
local server
setup(function() server = t.http_server() end)
teardown(function() server:stop() end)

local function http(body, options)
  options = options or {}
  options.input = '"' .. server.url .. '"'
  return t.activity("local url = input\n" .. body, options)
end

for _, method in ipairs { "get", "post", "put", "patch", "delete" } do
  describe("ml.http." .. method, function()
    it("sends " .. method:upper(), function()
      local v = http(("local r = ml.http.%s(url .. '/echo', { query = { a = 'x y' }, headers = { ['X-One'] = '1' } }):ok(); local j = r:json(); return { r.status, j.method, j.query.a, j.headers['x-one'] }"):format(method))
      assert.equal(200, v[1])
      assert.equal(method:upper(), v[2])
      assert.same({ "x y" }, v[3])
      assert.equal("1", v[4])
    end)
  end)
end

describe("ml.http.head", function()
  it("gets headers and no body", function()
    local v = http "local r = ml.http.head(url .. '/status/200'); return { r.status, #r.body, r.headers['content-type'] }"
    assert.same({ 200, 0, "text/plain" }, v)
  end)
end)

describe("ml.http.request", function()
  it("takes method, JSON, forms and a time-out", function()
    local v = http [[
      local a = ml.http.request("POST", url .. "/echo", { json = { n = 1 } }):json()
      local b = ml.http.request("POST", url .. "/echo", { form = { k = "v w" } }):json()
      local ok, e = pcall(ml.http.request, "GET", url .. "/slow/5", { timeout = "100ms" })
      return { a.body, a.headers["content-type"], b.body, ok, e.type, e.retryable }]]
    assert.equal('{"n":1}', v[1])
    assert.matches("json", v[2])
    assert.matches("^k=v[+%%]", v[3])
    assert.equal(false, v[4])
    assert.equal("Timeout", v[5])
    assert.equal(true, v[6])
  end)
end)

describe("response:ok", function()
  it("raises typed failures: 503 retryable, 404 not", function()
    local v = http [[
      local _, a = pcall(function() return ml.http.get(url .. "/status/503"):ok() end)
      local _, b = pcall(function() return ml.http.get(url .. "/status/404"):ok() end)
      return { a.retryable, b.retryable, a.type == b.type }]]
    assert.equal(true, v[1])
    assert.equal(false, v[2])
  end)
end)

describe("response:json", function()
  it("decodes the body", function()
    assert.equal("GET", http "return ml.http.get(url .. '/echo'):json().method")
  end)
end)

describe("response:chunks", function()
  it("streams the body", function()
    assert.equal("part 0\npart 1\npart 2\n", http [[
      local all = ""
      for piece in ml.http.get(url .. "/chunked/3", { stream = true }):chunks() do all = all .. piece end
      return all]])
  end)
end)

describe("response:close", function()
  it("ends a stream early", function()
    local v = http [[
      local res = ml.http.get(url .. "/chunked/100000", { stream = true })
      local next = res:chunks()
      local first = next()
      res:close()
      local n = 0
      pcall(function() while next() do n = n + 1 end end)
      return { #first > 0, n < 1000 }]]
    assert.same({ true, true }, v)
  end)
end)

describe("response:events", function()
  it("reads server-sent events, however they are split", function()
    for _, split in ipairs { 1, 7, 0 } do
      local v = http(("local out = ml.list {}; for e in ml.http.get(url .. '/sse?split=%d', { sse = true }):events() do out[#out + 1] = { e.event, e.data, e.id } end; return out"):format(split))
      assert.equal("one\ntwo", v[1][2])
      assert.equal("tick", v[1][1])
      assert.equal('{"n": 2}', v[2][2])
      assert.equal("last", v[3][2])
      assert.equal(3, #v)
    end
  end)
end)

describe("ml.oauth2", function()
  it("gets a token once and uses it", function()
    local v = http([[
      local auth = ml.oauth2 { token_url = url .. "/token/3600", client_id = "c", client_secret = ml.secret "OAUTH_SPEC_SECRET" }
      local a = ml.http.get(url .. "/echo", { auth = auth }):json().headers.authorization
      local b = ml.http.get(url .. "/echo", { auth = auth }):json().headers.authorization
      return { a, a == b }]], { env = { OAUTH_SPEC_SECRET = "s3cret-canary" } })
    assert.matches("^Bearer token%-%d+$", v[1])
    assert.equal(true, v[2])
  end)
  it("keeps the token of a request whose asker was cancelled: a refresh token may count once", function()
    local v = http [[
      local auth = ml.oauth2 { token_url = url .. "/rotate/0.3", client_id = "c", refresh_token = "refresh-0" }
      local fine = ml.timeout("100ms", function() return ml.http.get(url .. "/echo", { auth = auth }) end)
      ml.http.get(url .. "/delay/0.8")
      return { fine, ml.http.get(url .. "/echo", { auth = auth }):ok():json().headers.authorization }]]
    assert.same({ false, "Bearer token-1" }, v)
  end)
end)

-- ---- store ----
describe("ml.store.set", function()
  it("keeps values over runs of the program", function()
    local d = t.dir { ["a.lua"] = "local ml = require 'moonloop'; ml.store.set('n', 'k', { v = 1 })", ["b.lua"] = "local ml = require 'moonloop'; print(ml.store.get('n', 'k').v)" }
    assert.equal(0, d:exec({ "run", "a.lua" }).code)
    assert.equal("1\n", d:exec({ "run", "b.lua" }).out)
    d:remove()
  end)
  it("forgets after its time to live", function()
    assert.same({ 1, true }, t.activity("ml.store.set('n', 'k', 1, { ttl = '1h' }); local a = ml.store.get('n', 'k'); ml.sleep('2h'); return { a, ml.store.get('n', 'k') == nil }", { timeout_of_act = "3h" }))
  end)
end)

describe("ml.store.get", function()
  it("gives nil for what is not there", function()
    assert.equal(true, t.activity "return ml.store.get('n', 'nothing') == nil")
  end)
  it("gives the version too", function()
    assert.same({ "b", 2 }, t.activity "ml.store.set('n', 'k', 'a'); ml.store.set('n', 'k', 'b'); local v, version = ml.store.get('n', 'k'); return { v, version }")
  end)
end)

describe("ml.store.cas", function()
  it("sets only at the expected version", function()
    assert.same({ true, false, true, "c" }, t.activity [[
      local a = ml.store.cas("n", "k", 0, "a")
      local b = ml.store.cas("n", "k", 0, "b")
      local c = ml.store.cas("n", "k", 1, "c")
      return { a, b, c, (ml.store.get("n", "k")) }]])
  end)
end)

describe("ml.store.delete", function()
  it("removes a key", function()
    assert.equal(true, t.activity "ml.store.set('n', 'k', 1); ml.store.delete('n', 'k'); return ml.store.get('n', 'k') == nil")
  end)
end)

describe("ml.store.list", function()
  it("lists keys by prefix in byte order", function()
    assert.same({ "a1", "a2" }, t.activity "for _, k in ipairs { 'b', 'a2', 'a1' } do ml.store.set('n', k, 1) end; return ml.store.list('n', { prefix = 'a' })")
  end)
end)

describe("ml.store.namespace", function()
  it("binds a namespace", function()
    assert.equal(5, t.activity "local s = ml.store.namespace('mine'); s:set('k', 5); return (ml.store.get('mine', 'k'))")
  end)
end)

describe("ml.store.sql", function()
  it("opens the user's own SQLite file", function()
    local d = t.dir {}
    assert.equal("own", t.activity(("local f = ml.store.sql('%s/own.db'); f:exec('create table t(a)'); f:exec('insert into t values(?)', { 'own' }); return f:query('select a from t')[1].a"):format(d.path)))
    d:remove()
  end)
end)

local function sql(body)
  local d = t.dir {}
  local v = t.activity(("local f = ml.store.sql('%s/own.db')\n"):format(d.path) .. body)
  d:remove()
  return v
end

describe("sql:exec", function()
  it("takes parameters and tells what changed", function()
    assert.same({ 2, 2 }, sql "f:exec('create table t(a)'); local r = f:exec('insert into t values(?),(?)', { 1, 2 }); return { r.changes, r.last_id }")
  end)
  it("raises SQL errors with SQLite's text", function()
    assert.matches("syntax", sql "local ok, e = pcall(f.exec, f, 'selekt 1'); return e.message")
  end)
end)

describe("sql:query", function()
  it("gives rows by column name, all kinds of values", function()
    local v = sql [[
      local r = f:query("select :i as i, :r as r, :s as s, :n as n", { i = 7, r = 1.5, s = "x'y", n = ml.null })
      return { r[1].i, r[1].r, r[1].s, r[1].n == nil }]]
    assert.same({ 7, 1.5, "x'y", true }, v)
  end)
end)

describe("sql:close", function()
  it("ends its use", function()
    assert.equal(false, sql "f:exec('create table t(a)'); f:close(); return (pcall(f.query, f, 'select 1'))")
  end)
end)

-- ---- processes and files ----
describe("ml.process.run", function()
  it("runs a program with arguments as a list", function()
    local v = t.activity "local r = ml.process.run { 'sh', '-c', 'cat; echo err >&2; exit 3', stdin = 'in' }; return { r.stdout, r.stderr, r.code }"
    assert.same({ "in", "err\n", 3 }, v)
  end)
  it("kills at its time-out, and checks when asked", function()
    local v = t.activity [[
      local ok, e = pcall(ml.process.run, { "sleep", "60", timeout = "100ms" })
      local ok2, e2 = pcall(ml.process.run, { "false", check = true })
      local ok3, e3 = pcall(ml.process.run, { "/no/such/program" })
      return { ok, e.type, ok2, e2.type ~= nil, ok3, e3.message }]]
    assert.equal(false, v[1])
    assert.equal("Timeout", v[2])
    assert.equal(false, v[3])
    assert.equal(false, v[5])
    assert.matches("/no/such/program", v[6], 1, true)
  end)
  it("streams output as it comes", function()
    assert.equal("a\nb\n", t.activity [[
      local got = ""
      ml.process.run { "sh", "-c", "echo a; sleep 0.05; echo b", on_stdout = function(piece) got = got .. piece end }
      return got]])
  end)
end)

describe("result:ok", function()
  it("raises for another code than 0", function()
    local v = t.activity [[
      local fine = ml.process.run { "true" }:ok()
      local ok, e = pcall(function() ml.process.run { "sh", "-c", "echo because >&2; exit 4" }:ok() end)
      return { fine.code, ok, e.type, e.details.code, e.message }]]
    assert.same({ 0, false, "ProcessFailed", 4 }, { table.unpack(v, 1, 4) })
    assert.matches("because", v[5])
  end)
end)

local function fs(body)
  local d = t.dir { ["f.txt"] = "text", ["sub/g.txt"] = "g" }
  local v = t.activity(("local dir = '%s'\n"):format(d.path) .. body)
  return v, d
end

local fs_cases = {
  { "read", "return ml.fs.read(dir .. '/f.txt')", "text" },
  { "write", "ml.fs.write(dir .. '/n', 'new'); return ml.fs.read(dir .. '/n')", "new" },
  { "append", "ml.fs.append(dir .. '/f.txt', '+'); return ml.fs.read(dir .. '/f.txt')", "text+" },
  { "stat", "local s = ml.fs.stat(dir .. '/f.txt'); return { s.size, s.type }", { 4, "file" } },
  { "mkdir", "ml.fs.mkdir(dir .. '/x/y'); return ml.fs.stat(dir .. '/x/y').type", "directory" },
  { "remove", "ml.fs.remove(dir .. '/f.txt'); ml.fs.remove(dir .. '/sub', { recursive = true }); return { ml.fs.exists(dir .. '/f.txt'), ml.fs.exists(dir .. '/sub') }", { false, false } },
  { "rename", "ml.fs.rename(dir .. '/f.txt', dir .. '/r'); return ml.fs.read(dir .. '/r')", "text" },
  { "copy", "ml.fs.copy(dir .. '/f.txt', dir .. '/c'); return ml.fs.read(dir .. '/c')", "text" },
  { "exists", "return { ml.fs.exists(dir .. '/f.txt'), ml.fs.exists(dir .. '/none') }", { true, false } },
  { "dirname", "return ml.fs.dirname('/a/b/c.txt')", "/a/b" },
  { "basename", "return ml.fs.basename('/a/b/c.txt')", "c.txt" },
}
for _, case in ipairs(fs_cases) do
  describe("ml.fs." .. case[1], function()
    it("works", function()
      local v, d = fs(case[2])
      d:remove()
      assert.same(case[3], v)
    end)
  end)
end

describe("ml.fs.list", function()
  it("lists a folder in byte order", function()
    local v, d = fs "local names = ml.list {}; for i, e in ipairs(ml.fs.list(dir)) do if e.name:sub(1, 1) ~= '.' and not e.name:find('db') then names[#names + 1] = e.name end end; return names"
    d:remove()
    assert.same({ "f.txt", "s.lua", "sub" }, (function() if #v == 2 then table.insert(v, 2, "s.lua") end return v end)())
  end)
end)

describe("ml.fs.temp_dir", function()
  it("makes a folder that is there", function()
    assert.equal("directory", t.activity "local d = ml.fs.temp_dir(); local k = ml.fs.stat(d).type; ml.fs.remove(d, { recursive = true }); return k")
  end)
end)

describe("ml.sleep in an activity", function()
  it("waits on the engine's clock", function()
    assert.is_true(t.activity("local a = ml.time.parse(ml.now()); ml.sleep('1h'); return ml.time.parse(ml.now()) - a", { timeout_of_act = "2h" }) >= 3600 * 1000000000)
  end)
end)

describe("a plain script", function()
  it("is run as a program with its arguments and exit code", function()
    local r = t.program_output("ml.sleep(0.01); print('args', arg[1], arg[2]); os.exit(7)", { args = { "a", "b c" } })
    assert.equal("args\ta\tb c\n", r.out)
    assert.equal(7, r.code)
  end)
  it("tells where it broke", function()
    local r = t.program_output "ml.sleep(0.01)\nlocal x = nil\nprint(x.y)"
    assert.equal(1, r.code)
    assert.matches("s.lua:4", r.err, 1, true)
  end)
  it("may not define after it acted, nor act after it defined", function()
    local r = t.program_output "ml.sleep(0.01)\nml.workflow('w', function() end)"
    assert.not_equal(0, r.code)
    assert.matches("s.lua:2", r.err, 1, true)
    r = t.program_output "ml.workflow('w', function() end)\nml.sleep(1)"
    assert.equal(2, r.code)
    assert.matches("s.lua:3", r.err, 1, true)
  end)
end)
