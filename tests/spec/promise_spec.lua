-- ml.promise: a run that waits for a value which somebody outside posts to a signed URL.
local t = require "support"

local script = [[
  ml.workflow("order", function(input)
    local p = ml.promise { timeout = input.timeout, base = input.base, summary = "payment" }
    ml.query("urls", function() return { url = p.url, reject = p.reject_url, token = p.token, deadline = p.deadline } end)
    local ok, value = pcall(function() return p:await() end)
    if not ok then value = { type = value.type, reason = value.details and value.details.reason } end
    if input.linger then ml.channel("end"):receive() end
    return { ok = ok, value = value, again = ok and p:await() == value }
  end)]]

local function start(s, id, input)
  local r = s.ask("POST", "/v1/workflows", { body = ('{"workflow":"order","id":"%s","input":%s}'):format(id, input or "{}") })
  assert.equal(201, r.status, r.text)
  return t.eventually("the promise has its URL", function()
    local q = s.ask("POST", "/v1/workflows/" .. id .. "/query/urls", { body = "[]" })
    return q.status == 200 and q.value.result and q.value.result.url and q.value.result or nil
  end)
end

local function path(url) return (url:gsub("^https?://[^/]+", "")) end
local function post(s, url, body, flags) return s.ask("POST", path(url), { body = body, headers = { "Content-Type: application/json" }, flags = flags }) end
local function result(s, id)
  local r = s.ask("GET", "/v1/workflows/" .. id .. "/result?wait=20")
  assert.equal(200, r.status, r.text)
  return r.value.result
end
local function problem(r, status, kind)
  assert.equal(status, r.status, r.text)
  assert.equal("application/problem+json", r.headers["content-type"])
  assert.equal("urn:moonloop:problem:" .. kind, r.value.type)
end

describe("ml.promise", function()
  it("gives its run the value that was posted, once, also after kill -9", function()
    local s = t.serve(script)
    local p = start(s, "o1", '{"linger":true}')
    assert.equal(s.url .. "/v1/resume/" .. p.token, p.url:match("^[^?]+"))
    s.bg:kill("KILL")
    t.eventually("serve is gone", function() return not os.execute("kill -0 " .. s.bg.pid .. " 2>/dev/null") end)
    s = t.serve(nil, { dir = s.dir })
    local first = post(s, p.url, '{"paid":[1,2.5],"by":"Ada"}')
    assert.equal(200, first.status, first.text)
    assert.same({ status = "resumed" }, first.value)
    local again = post(s, p.url, '{"paid":[1,2.5],"by":"Ada"}')
    assert.equal(200, again.status, again.text)
    assert.equal(first.body, again.body)
    problem(post(s, p.url, '{"paid":0}'), 409, "conflict")
    problem(post(s, p.reject_url or p.reject, "{}"), 409, "conflict")
    assert.equal(202, s.ask("POST", "/v1/workflows/o1/signal/end", { body = "1" }).status)
    assert.same({ ok = true, value = { paid = { 1, 2.5 }, by = "Ada" }, again = true }, result(s, "o1"))
    assert.equal(first.body, post(s, p.url, '{"paid":[1,2.5],"by":"Ada"}').body) -- the run has ended
    problem(post(s, p.url, '{"paid":7}'), 410, "gone")
    local h = s.ask("GET", "/v1/workflows/o1/history")
    local _, updates = h.body:gsub("WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "")
    assert.equal(1, updates)
    local show = s.dir:exec { "show", "o1", "--json" }
    s.dir:write("h.json", show.out)
    local replay = s.dir:exec { "replay", "h.json", "s.lua" }
    assert.equal(0, replay.code, replay.out .. replay.err)
    s.stop()
  end)
  it("is taken by a run that was reset meanwhile", function()
    local s = t.serve(script)
    local p = start(s, "a")
    local r = s.dir:exec { "reset", "a", "--event", "9", "--json" }
    assert.equal(0, r.code, r.err)
    assert.equal(200, post(s, p.url, '"later"').status)
    assert.equal("later", result(s, "a").value)
    s.stop()
  end)
  it("lets nobody in with a URL that was changed, of another key, or has expired", function()
    local s = t.serve(script)
    local p, other = start(s, "a"), start(s, "b", '{"timeout":"2s"}')
    local function bad(url) problem(post(s, url, "1"), 403, "forbidden") end
    bad((p.url:gsub("signature=%x", function(x) return "signature=" .. (x:sub(-1) == "0" and "1" or "0") end)))
    bad((p.url:gsub("expires=%d", "expires=1")))
    bad((p.url:gsub("/resume/[^?]+", "/resume/" .. other.token)))
    bad((p.url:gsub("%?.*", "")))
    bad("/v1/resume/x?expires=99999999999&signature=" .. ("0"):rep(64))
    problem(post(s, p.url, "{"), 400, "bad-json")
    local get = s.ask("GET", path(p.url))
    problem(get, 405, "method-not-allowed")
    assert.equal("POST", get.headers.allow)
    assert.same({ ok = false, value = { type = "Timeout" }, again = false }, result(s, "b"))
    t.eventually("the URL has expired", function()
      local r = post(s, other.url, "1")
      return r.status == 410 and r.value.type == "urn:moonloop:problem:gone"
    end)
    assert.equal(200, post(s, p.url, nil, "-H 'X-Forwarded-For: 192.0.2.1' -H 'Origin: https://pay.example'").status) -- no operator, but signed
    local r = result(s, "a")
    assert.is_true(r.ok)
    assert.is_nil(r.value)
    s.stop()
  end)
  it("takes address and keys of the environment, one in place of the other", function()
    local old, new = ("o"):rep(32), ("n"):rep(32)
    local s = t.serve(script, { env = { MOONLOOP_PUBLIC_URL = "https://api.example.com/", MOONLOOP_RESUME_KEY = old } })
    local p, q = start(s, "a"), start(s, "b", '{"base":"http://other.example/x"}')
    assert.equal("https://api.example.com/v1/resume/" .. p.token, p.url:match("^[^?]+"))
    assert.equal("http://other.example/x/v1/resume/" .. q.token, q.url:match("^[^?]+"))
    local text = p.token:gsub("[-_]", { ["-"] = "+", ["_"] = "/" })
    local made = io.popen(("printf %%s 'moonloop resume 1\n%d\n%s\n%s' | openssl dgst -sha256 -hmac %s -r"):format(#p.token, p.token, p.url:match("expires=(%d+)"), old))
    assert.equal(made:read("a"):match("^%x+"), p.url:match("signature=(%x+)"), text)
    made:close()
    s.bg:kill("TERM")
    t.eventually("serve ends", function() return not os.execute("kill -0 " .. s.bg.pid .. " 2>/dev/null") end)
    s = t.serve(nil, { dir = s.dir, env = { MOONLOOP_RESUME_KEY = new .. " " .. old } })
    assert.equal(200, post(s, p.url, "1").status)
    s.bg:kill("TERM")
    t.eventually("serve ends", function() return not os.execute("kill -0 " .. s.bg.pid .. " 2>/dev/null") end)
    s = t.serve(nil, { dir = s.dir, env = { MOONLOOP_RESUME_KEY = new } })
    problem(post(s, q.url:gsub("/x/", "/"), "1"), 403, "forbidden")
    s.stop()
  end)
  it("says what is missing", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. script .. "\nml.workflow('top', function() return 1 end)" }
    local function run(input, env) return d:exec({ "run", "s.lua", "--workflow", "order", "--clock", "virtual", "--input", input }, env) end
    local function value(input) return run(input).err .. run(input).out end
    assert.matches("NoAddress", value "{}")
    assert.matches("NoAddress", value '{"base":"ftp://x"}')
    assert.matches("Timeout", value '{"base":"http://x","timeout":"3d"}')
    d:remove()
    assert.matches("works in a workflow only", t.activity "local _, e = pcall(ml.promise, {}) return tostring(e)")
  end)
end)

describe("promise:await", function()
  it("is rejected with a reason", function()
    local s = t.serve(script)
    local p = start(s, "a", '{"linger":true}')
    local r = post(s, p.reject, '{"reason":"card declined"}')
    assert.equal(200, r.status, r.text)
    assert.same({ status = "rejected" }, r.value)
    problem(post(s, p.url, "1"), 409, "conflict")
    s.ask("POST", "/v1/workflows/a/signal/end", { body = "1" })
    assert.same({ ok = false, value = { type = "Rejected", reason = "card declined" }, again = false }, result(s, "a"))
    s.stop()
  end)
end)
