-- moonloop serve, as somebody asks who wants to break it: what a caller says ends up in headers, events, logs and paths.
local t = require "support"

local server
local function serve(body, options)
  server = t.serve(body, options)
  return server
end

describe("serve under attack", function()
  after_each(function()
    if server then server.bg:kill("KILL") end
    server = nil
  end)
  it("sends no header that a caller wrote", function()
    local s = serve [[
      local api = ml.api()
      api:get("/to/{x}", function(req) return ml.response { status = 302, headers = { Location = req.params.x } } end)
      api:get("/name/{x}", function(req) return ml.response { headers = { [req.params.x] = "a" } } end)
      api:get("/type/{x}", function(req) return ml.stream(function(send) send "x" end, { type = req.params.x }) end)
      api:get("/stream/{x}", function(req) return ml.stream(function(send) send "x" end, { headers = { ["X-A"] = req.params.x } }) end)
      api:get("/problem/{x}", function(req) return ml.problem { status = 400, headers = { ["X-A"] = req.params.x } } end)
      api:get("/raised/{x}", function(req) error(ml.problem { status = 400, headers = { ["X-A"] = req.params.x } }) end)]]
    assert.equal("https://a.example/", s.ask("GET", "/to/https:%2F%2Fa.example%2F").headers.location)
    for _, path in ipairs { "/to/", "/name/", "/type/", "/stream/", "/problem/", "/raised/" } do
      for _, evil in ipairs { "a%0d%0aX-Evil:1", "a%0aX-Evil:1", "a%0dX-Evil:1", "a:%20b%0d%0a%0d%0aHTTP%2F1.1%20200%20OK" } do
        local r = s.ask("GET", path .. evil)
        assert.equal(500, r.status, path .. evil)
        assert.is_nil(r.headers["x-evil"])
        assert.is_nil(r.text:find("X-Evil", 1, true))
      end
    end
    s.stop()
  end)
  it("sends events whose data cannot end them, or begin others", function()
    local s = serve [[
      ml.api():get("/data/{x}", function(req) return function(send) send { data = req.params.x } send "end" end end)
        :get("/id/{x}", function(req) return function(send) send { data = "a" } ml.sleep(0.05) send { id = req.params.x, data = "b" } end end)
        :get("/event/{x}", function(req) return function(send) send { data = "a" } ml.sleep(0.05) send { event = req.params.x, data = "b" } end end)]]
    assert.equal("data: a\ndata: \ndata: id: 9\ndata: \ndata: data: evil\n\ndata: end\n\n", s.ask("GET", "/data/a%0a%0did:%209%0d%0a%0adata:%20evil").body)
    for _, path in ipairs { "/id/", "/event/" } do
      for _, evil in ipairs { "1%0a%0adata:%20evil", "1%0ddata:%20evil" } do
        local r = s.ask("GET", path .. evil)
        assert.matches("curl: %(18%)", r.text) -- cut
        assert.matches("data: a\n\n", r.text)
        assert.is_nil(r.text:find("evil", 1, true))
      end
    end
    s.stop()
  end)
  it("logs one line for one error, without what moves a terminal", function()
    -- with --json it is escaped already
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\nml.api():get("/{x}", function(req) error("no " .. req.params.x, 0) end)' }
    local bg = d:spawn({ "serve", "s.lua", "--port", "0" }, "plain")
    local url = t.eventually("serve tells its address", function() return d:read("plain.err"):match("(http://[%d.:]+)") or d:read("plain.out"):match("(http://[%d.:]+)") end)
    os.execute(("curl -s -o /dev/null '%s/a%%0Alog%%20error%%20forged%%1b%%5b2J%%9b'"):format(url))
    local err = t.eventually("the error is logged", function() return d:read("plain.err"):match("log error.*\n") end)
    bg:kill("TERM")
    assert.matches("^log error s.lua: GET /a%%0Alog%%20error[^\n]*: no a\n    log error forged\\x1b%[2J", err)
    assert.is_nil(err:find("\nlog", 1, true))
    assert.is_nil(err:find("\27", 1, true))
    d:remove()
  end)
  it("answers a query of many parameters, and says when a head is too large", function()
    local s = serve 'ml.api():get("/q", function(req) local n = 0 for _ in pairs(req.query) do n = n + 1 end return { n, #req.query_string } end)'
    local many = {}
    for i = 1, 2500 do many[i] = "p" .. i end
    many = table.concat(many, "&")
    assert.same({ 2500, #many }, s.ask("GET", "/q?" .. many).value)
    assert.same({ 1, 12000 }, s.ask("GET", "/q?" .. ("a=&"):rep(4000)).value)
    assert.same({ 0, 0 }, s.ask("GET", "/q?").value)
    assert.same({ 1, 5 }, s.ask("GET", "/q?a=b?c").value)
    assert.equal(431, s.ask("GET", "/q?" .. ("a=&"):rep(5500)).status)
    assert.equal(414, s.ask("GET", "/q?" .. ("a=&"):rep(10000)).status)
    s.stop()
  end)
  it("reads no file outside of the folder, however the path is written", function()
    local s = serve('ml.api():static("/f", "public")', { files = { ["public/a.txt"] = "a", ["public/empty.txt"] = "", ["public/deep/b.txt"] = "b", ["secret.txt"] = "secret" } })
    os.execute(("cd %s/public && mkfifo pipe && ln -s ../.. deep/up && ln -s /etc/passwd passwd && mkdir closed && chmod 0 closed && ln -s deep link"):format(s.dir.path))
    assert.equal("a", s.ask("GET", "/f/a.txt").body)
    assert.equal("b", s.ask("GET", "/f/deep%2Fb.txt").body)
    assert.same({ 200, "" }, { s.ask("GET", "/f/empty.txt").status, s.ask("GET", "/f/empty.txt").body })
    local head = s.ask("HEAD", "/f/a.txt")
    assert.same({ 200, "1" }, { head.status, head.headers["content-length"] })
    for _, path in ipairs { "..%2fsecret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt", ".%2e/secret.txt", "deep/../../secret.txt", "deep/%2e%2e%2f..%2fsecret.txt",
      "%252e%252e/secret.txt", "..%5csecret.txt", "%c0%ae%c0%ae/secret.txt", "..%00/secret.txt", "a.txt%00.png", "a.txt%0a", "./a.txt", "//secret.txt", "/%2fetc/passwd",
      "%2fetc%2fpasswd", "passwd", "deep/up/secret.txt", "deep/up", "link/b.txt", "pipe", "closed/x", "deep", "deep/", "a.txt/", "a.txt/x", ("x"):rep(300), ("x/"):rep(500),
      "..;/secret.txt", "..%3b/secret.txt", "%2e%2e;/secret.txt" } do
      local r = s.ask("GET", "/f/" .. path)
      assert.is_true(r.status == 404 or r.status == 400, path .. " " .. tostring(r.status))
      assert.is_nil(r.text:find("root:", 1, true))
      assert.is_not_equal("secret", r.body)
    end
    os.execute(("chmod 755 %s/public/closed"):format(s.dir.path))
    s.stop()
  end)
  it("does not let every page act as its visitor", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\nml.api { cors = { origins = "*", credentials = true } }:get("/x", function() end)' }
    local r = d:exec { "serve", "s.lua", "--port", "0" }
    d:remove()
    assert.equal(2, r.code)
    assert.matches('s.lua:2: ml.api: cors with credentials names its origins: with "%*" every page could act as its visitor', r.err)
  end)
  it("lets no page in by a name that was made to point here, and nobody through a proxy", function()
    local s = serve [[
      ml.workflow("w", function() end)
      local add = ml.tool { name = "add", description = "adds", input = { type = "object" }, run = function() return 1 end }
      ml.api():mcp("/mcp", { origins = { "https://app.example" } })
      ml.api():get("/add", add)]]
    local port = s.url:match(":(%d+)$")
    local function runs(...) return s.ask("GET", "/v1/workflows", { headers = { ... } }).status end
    for _, host in ipairs { "127.0.0.1", "localhost", "[::1]", "127.9.9.9" } do
      assert.equal(200, runs("Host: " .. host), host)
      assert.equal(200, runs("Host: " .. host .. ":" .. port), host)
    end
    for _, host in ipairs { "127.evil.example", "127.0.0.1.evil.example", "[::1].evil.example", "localhost.evil.example", "xlocalhost", "127.0.0.1:80:evil.example" } do
      assert.equal(403, runs("Host: " .. host), host)
      assert.equal(403, runs("Host: " .. host .. ":" .. port, "Origin: http://" .. host .. ":" .. port), host)
    end
    for _, header in ipairs { "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "Via: 1.1 proxy", "X-Real-IP: 127.0.0.1" } do
      assert.equal(403, runs(header), header)
    end
    local function mcp(...)
      return s.ask("POST", "/mcp", { body = '{"jsonrpc":"2.0","id":1,"method":"ping"}', headers = { "Content-Type: application/json", ... } }).status
    end
    assert.equal(200, mcp())
    assert.equal(200, mcp("Origin: " .. s.url))
    assert.equal(200, mcp("Origin: https://app.example", "Host: api.example"))
    assert.equal(403, mcp("Origin: http://evil.example:" .. port, "Host: evil.example:" .. port))
    assert.equal(403, mcp("Origin: http://127.evil.example:" .. port, "Host: 127.evil.example:" .. port))
    assert.equal(403, mcp("Origin: null"))
    s.stop()
  end)
end)
