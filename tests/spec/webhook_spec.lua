-- Callers of routes that sign what they send. Signatures are made by openssl here, not by us.
local t = require "support"

local OTHER = "fedcba9876543210fedcba9876543210"
local WEBHOOK = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

local function sh(command, input)
  local name = os.tmpname()
  local f = assert(io.open(name, "wb"))
  f:write(input or "")
  f:close()
  local p = io.popen(command .. " <" .. name)
  local out = p:read("a")
  p:close()
  os.remove(name)
  return out
end

local function base64(text) return (sh("openssl base64 -A", text)) end
local function hmac(key, text) return sh(("openssl dgst -sha256 -mac HMAC -macopt hexkey:%s -binary"):format((key:gsub(".", function(c) return ("%02x"):format(c:byte()) end))), text) end

local function problem(r, status, kind)
  assert.equal(status, r.status, r.text)
  assert.equal("urn:moonloop:problem:" .. kind, r.value.type)
end

describe("ml.webhook", function()
  local app = [[
    ml.workflow("got", function(input) return input end)
    local api = ml.api {}
    local n = 0
    local function take(req)
      n = n + 1
      return ml.accept { workflow = "got", input = { who = req.principal, n = n } }
    end
    api:post("/standard", { auth = ml.webhook { secret = { ml.secret "OLD", ml.secret "HOOK" } } }, take)
    api:post("/github", { auth = ml.webhook { kind = "github", secret = ml.secret "GITHUB", name = "github" } }, take)]]
  local env = { HOOK = WEBHOOK, OLD = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", GITHUB = "It's a Secret to Everybody" }

  it("takes a signed message once, whatever it is sent again for", function()
    local s = t.serve(app, { env = env })
    local key = sh("openssl base64 -d -A", WEBHOOK:sub(7))
    local function send(id, at, body, signature)
      return s.ask("POST", "/standard", { body = body, headers = { "Content-Type: application/json", "webhook-id: " .. id, "webhook-timestamp: " .. at,
        "webhook-signature: " .. (signature or "v1," .. base64(hmac(key, id .. "." .. at .. "." .. body))) } })
    end
    local now = os.time()
    local first = send("msg_1", now, '{"a":1}')
    assert.equal(202, first.status, first.text)
    local again = send("msg_1", now + 1, '{"a":1}')
    assert.equal(first.body, again.body)
    assert.not_equal(first.body, send("msg_2", now, '{"a":1}').body)
    problem(send("msg_3", now - 400, "{}"), 401, "bad-signature")
    problem(send("msg_3", now, "{}", "v1," .. base64(hmac(OTHER, "msg_3." .. now .. ".{}"))), 401, "bad-signature")
    problem(s.ask("POST", "/standard", { body = "{}" }), 401, "bad-signature")
    s.stop()
  end)
  it("takes GitHub's", function()
    local s = t.serve(app, { env = env })
    local function send(body, signature, id)
      return s.ask("POST", "/github", { body = body, headers = { "Content-Type: application/json", "X-Hub-Signature-256: " .. signature, "X-GitHub-Delivery: " .. id } })
    end
    local good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" -- of GitHub's documentation
    local first = send("Hello, World!", good, "d1")
    assert.equal(202, first.status, first.text)
    assert.equal(first.body, send("Hello, World!", good, "d1").body)
    problem(send("Hello, World?", good, "d2"), 401, "bad-signature")
    problem(send("Hello, World!", "sha1=757107ea", "d2"), 401, "bad-signature")
    s.stop()
  end)
  it("needs a secret that is one", function()
    local r = t.run("ml.webhook {}\nml.workflow('w', function() end)")
    assert.matches("secret", r.err)
    local s = t.serve(app, { env = { HOOK = "plain", OLD = "plain", GITHUB = "" } })
    assert.equal(500, s.ask("POST", "/standard", { body = "{}", headers = { "webhook-id: a", "webhook-timestamp: 1", "webhook-signature: v1,x" } }).status)
    assert.equal(500, s.ask("POST", "/github", { body = "{}", headers = { "X-Hub-Signature-256: sha256=00" } }).status)
    assert.matches("begins with whsec_", s.dir:read("serve.err"), 1, true)
    s.stop()
  end)
end)
