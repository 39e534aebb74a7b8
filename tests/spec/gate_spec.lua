-- Routes behind the boundary, asked over HTTP: tokens, scopes, rates, credits, keys, and what a handler writes.
local t = require "support"

local server
local function ended()
  if server then server.bg:kill("KILL") end
  server = nil
end

local app = [[
  ml.workflow("publish", function(post)
    ml.sleep(0.01)
    if post.caption == "refused" then ml.fail("no", { retryable = false }) end
    return post.id
  end)
  local schedule = ml.tool { name = "schedule", mode = "durable", scope = "posts:write", cost = 5,
    input = ml.schema { caption = "string<=20" },
    run = function(args, call)
      ml.log.info("handled")
      ml.sleep(0.05)
      local post = call.db:insert("posts", args)
      return ml.accept { workflow = "publish", id = "publish:" .. post.id, entity = post.id, input = post, status = "scheduled", message = "later" }
    end }
  local api = ml.api { auth = "bearer" }
  api:post("/schedule", schedule)
  api:post("/limited", { rate = "2/h" }, function(req) return { who = req.principal } end)
  api:post("/notes", { scope = "notes", idempotency = { field = "ref", required = true } }, function(req)
    local note = req.db:insert("notes", { text = req:json().text })
    return ml.commit { status = 201, body = note }
  end)
  api:post("/forgets", function(req) req.db:insert("notes", { id = "lost" }) return {} end)
  api:post("/breaks", function(req) req.db:insert("notes", { id = "lost" }) error("no") end)
  api:post("/refuses", function(req) req.db:insert("notes", { id = "lost" }) return ml.problem { status = 404, type = "not-found", detail = "gone" } end)
  local free = ml.api()
  free:get("/notes", function(req) return req.db:query("notes") end)
  free:post("/open", function(req) return ml.accept { workflow = "publish", input = { id = req.db:insert("notes", { text = "open" }).id } } end)
]]

local JSON = "Content-Type: application/json"

local function start()
  server = t.serve(app)
  function server.token(...)
    local made = server.dir:exec({ "token", "create", "--json", ... }).value
    return "Authorization: Bearer " .. made.token, made.id
  end
  function server.post(path, body, ...) return server.ask("POST", path, { body = body, headers = { JSON, ... } }) end
  return server
end

local function problem(r, status, kind)
  assert.equal(status, r.status, r.text)
  assert.equal("application/problem+json", r.headers["content-type"])
  assert.equal("urn:moonloop:problem:" .. kind, r.value.type)
  return r
end

describe("a route behind the boundary", function()
  after_each(ended)
  it("lets in who may, and accepts", function()
    local s = start()
    local auth, id = s.token("--scope", "posts:write", "--credits", "12")
    local body = '{"caption":"hi"}'
    assert.equal("Bearer", problem(s.post("/schedule", body), 401, "unauthorized").headers["www-authenticate"])
    problem(s.post("/schedule", body, "Authorization: Basic eDp5"), 401, "unauthorized")
    problem(s.post("/schedule", body, auth .. "x"), 401, "unauthorized")
    problem(s.post("/schedule", body, (s.token("--scope", "chat"))), 403, "forbidden")
    problem(s.post("/schedule", '{"caption":"much longer than it may be"}', auth), 422, "invalid-body")
    problem(s.post("/schedule", '{"caption"', auth), 400, "bad-json")
    local r = s.post("/schedule", body, auth)
    assert.equal(202, r.status, r.text)
    assert.same({ "scheduled", "later", "publish:" .. r.value.entityId }, { r.value.status, r.value.message, r.value.workflowId })
    assert.equal(202, s.post("/schedule", '{"caption":"refused"}', auth).status)
    t.eventually("both runs end", function()
      local k = s.dir:exec({ "token", "list", "--json" }).value
      for _, one in ipairs(k) do if one.id == id then return one.credits == 7 and one.held == 0 end end
    end)
    assert.equal(202, s.post("/schedule", body, auth).status)
    problem(s.post("/schedule", body, auth), 402, "out-of-credit")
    s.dir:exec { "token", "revoke", id }
    problem(s.post("/schedule", body, auth), 401, "unauthorized")
    assert.equal(0, s.dir:exec({ "audit", "verify" }).code)
    s.stop()
  end)
  it("answers a key once, byte for byte, to 200 at the same time and after a kill", function()
    local s = start()
    local auth, id = s.token("--scope", "posts:write", "--credits", "100")
    s.dir:write("body", '{"caption":"hi"}')
    os.execute(("cd '%s' && curl -sS -m 60 --parallel --parallel-immediate --parallel-max 200 -X POST -H '%s' -H '%s' -H 'Idempotency-Key: k1' -d @body '%s/schedule#[1-200]' -o 'out_#1' 2>curl.err")
      :format(s.dir.path, JSON, auth, s.url))
    local first = s.dir:read("out_1")
    assert.matches('"status":"scheduled"', first)
    for i = 2, 200 do assert.equal(first, s.dir:read("out_" .. i)) end
    local _, handled = s.dir:read("serve.err"):gsub("handled", "")
    assert.equal(1, handled)
    local body = '{"caption":"hi"}'
    problem(s.post("/schedule", '{"caption":"other"}', auth, "Idempotency-Key: k1"), 409, "idempotency-key-reused")
    s.bg:kill("KILL")
    local dir, old = s.dir, s.bg.pid
    t.eventually("the killed one is gone", function() return not os.execute("kill -0 " .. old .. " 2>/dev/null") end)
    s.bg = dir:spawn({ "serve", "s.lua", "--port", "0", "--json" }, "again")
    s.url = t.eventually("it serves again", function() return dir:read("again.out"):match('"url":"([^"]+)"') end)
    local again = s.post("/schedule", body, auth, "Idempotency-Key: k1")
    assert.equal(first, again.body)
    assert.equal(202, again.status)
    assert.equal("true", again.headers["idempotency-replayed"])
    assert.equal(1, dir:exec({ "count", "--json" }).value.count)
    t.eventually("the run ends", function() return dir:exec({ "token", "list", "--json" }).value[1].credits == 95 end)
    assert.equal(id, dir:exec({ "token", "list", "--json" }).value[1].id)
    assert.equal(0, dir:exec({ "audit", "verify" }).code)
    s.stop()
  end)
  it("counts requests, and says when the next may come", function()
    local s = start()
    local auth, id = s.token()
    assert.same({ who = "key:" .. id }, s.post("/limited", "", auth).value)
    assert.equal(200, s.post("/limited", "", auth).status)
    local r = problem(s.post("/limited", "", auth), 429, "rate-limited")
    local wait = tonumber(r.headers["retry-after"])
    assert.is_true(wait > 1700 and wait <= 1800)
    assert.equal(200, s.post("/limited", "", (s.token())).status)
    s.stop()
  end)
  it("keeps what a handler commits, by a key that is a field", function()
    local s = start()
    local auth = s.token("--scope", "notes")
    problem(s.post("/notes", '{"text":"a"}', auth), 400, "bad-request")
    local a = s.post("/notes", '{"text":"a","ref":7}', auth)
    assert.equal(201, a.status, a.text)
    assert.equal(a.body, s.post("/notes", '{"text":"a","ref":7}', auth).body)
    assert.equal(409, s.post("/notes", '{"text":"b","ref":7}', auth).status)
    assert.same({ { id = a.value.id, text = "a" } }, s.ask("GET", "/notes").value)
    s.stop()
  end)
  it("writes nothing for a handler that fails, refuses or forgets", function()
    local s = start()
    local auth = s.token()
    problem(s.post("/forgets", "", auth), 500, "internal")
    assert.matches("returned neither ml.accept nor ml.commit", s.dir:read("serve.err"))
    problem(s.post("/breaks", "", auth), 500, "internal")
    problem(s.post("/refuses", "", auth), 404, "not-found")
    assert.equal("[]", s.ask("GET", "/notes").body)
    assert.equal(202, s.post("/open", "").status)
    assert.equal("open", s.ask("GET", "/notes").value[1].text)
    s.stop()
  end)
end)

-- A token signed with HS256; the signature by openssl.
local function jwt(secret, claims)
  local function url(text)
    local p = io.popen("printf %s '" .. text .. "' | openssl base64 -A | tr '+/' '-_' | tr -d '='")
    local out = p:read("a")
    p:close()
    return out
  end
  local body = url('{"alg":"HS256","typ":"JWT"}') .. "." .. url(claims)
  local p = io.popen(("printf %%s '%s' | openssl dgst -sha256 -hmac '%s' -binary | openssl base64 -A | tr '+/' '-_' | tr -d '='"):format(body, secret))
  local signature = p:read("a")
  p:close()
  return "Authorization: Bearer " .. body .. "." .. signature
end

describe("a route for tokens of others", function()
  after_each(ended)
  it("takes those that are signed, for here, and not over", function()
    local secret = ("s"):rep(40)
    server = t.serve([[
      local api = ml.api { auth = { jwt = { secret = ml.secret "JWT_KEY", issuer = "them", audience = "us" } } }
      api:get("/me", function(req) return { req.principal, req.scopes } end)
      api:get("/admin", { scope = "admin" }, function() return {} end)]], { env = { JWT_KEY = secret } })
    local s = server
    local function get(path, header) return s.ask("GET", path, { headers = { header } }) end
    local function claims(more) return ('{"sub":"ann","iss":"them","aud":"us","scope":"read write","exp":%d%s}'):format(os.time() + 600, more or "") end
    assert.same({ "jwt:ann", "read write" }, get("/me", jwt(secret, claims())).value)
    problem(get("/admin", jwt(secret, claims())), 403, "forbidden")
    problem(get("/me", jwt(("x"):rep(40), claims())), 401, "unauthorized")
    problem(get("/me", jwt(secret, (claims():gsub("us", "you")))), 401, "unauthorized")
    problem(get("/me", jwt(secret, (claims():gsub("them", "others")))), 401, "unauthorized")
    problem(get("/me", jwt(secret, '{"sub":"ann","iss":"them","aud":"us","exp":1}')), 401, "unauthorized")
    problem(get("/me", "X: y"), 401, "unauthorized")
    problem(get("/me", (s.dir:exec({ "token", "create" }).out:gsub("^(%S+).*", "Authorization: Bearer %1"))), 401, "unauthorized")
    assert.is_nil(s.dir:read("serve.err"):find(secret, 1, true))
    s.stop()
  end)
end)
