-- `moonloop serve`: the real program, asked over HTTP by curl.
local t = require "support"

local server
local function serve(body, options)
  server = t.serve(body, options)
  return server
end

local function ended() -- what a spec that failed left
  if server then server.bg:kill("KILL") end
  server = nil
end

local function problem(r, status, kind)
  assert.equal(status, r.status, r.text)
  assert.equal("application/problem+json", r.headers["content-type"])
  assert.equal(status, r.value.status)
  assert.equal("urn:moonloop:problem:" .. kind, r.value.type)
  return r.value
end

local function refused(body)
  local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. body }
  local r = d:exec { "serve", "s.lua", "--port", "0" }
  d:remove()
  assert.equal(2, r.code, r.err)
  return r.err
end

describe("ml.api", function()
  after_each(ended)
  it("gives routes a prefix and their limits", function()
    local s = serve [[
      local api = ml.api { prefix = "/v1", max_body = 10, timeout = "100ms" }
      api:post("/x", function(req) return req.body end)
      api:post("/wide", { max_body = 100, timeout = "5s" }, function(req) ml.sleep(0.3) return #req.body end)
      api:get("/slow", function() ml.sleep(5) end)]]
    assert.equal("0123456789", s.ask("POST", "/v1/x", { body = "0123456789" }).body)
    assert.equal(413, s.ask("POST", "/v1/x", { body = "0123456789a" }).status)
    assert.equal("11", s.ask("POST", "/v1/wide", { body = "0123456789a" }).body)
    problem(s.ask("GET", "/v1/slow"), 504, "timeout")
    problem(s.ask("POST", "/x"), 404, "not-found")
    s.stop()
  end)
  it("lets other origins in where it says so", function()
    local s = serve [[
      local api = ml.api { cors = { origins = { "https://a.example" }, headers = { "X-Y" }, credentials = true, max_age = "1m" } }
      api:get("/x", function() return "x" end)
      api:get("/bad", function() error("no") end)
      ml.api():get("/own", function() return "x" end)]]
    local r = s.ask("GET", "/x", { headers = { "Origin: https://a.example" } })
    assert.equal("https://a.example", r.headers["access-control-allow-origin"])
    assert.equal("true", r.headers["access-control-allow-credentials"])
    assert.equal("Origin", r.headers.vary)
    assert.is_nil(s.ask("GET", "/x", { headers = { "Origin: https://b.example" } }).headers["access-control-allow-origin"])
    r = s.ask("GET", "/bad", { headers = { "Origin: https://a.example" } })
    problem(r, 500, "internal")
    assert.equal("https://a.example", r.headers["access-control-allow-origin"])
    r = s.ask("OPTIONS", "/x", { headers = { "Origin: https://a.example", "Access-Control-Request-Method: GET" } })
    assert.equal(204, r.status)
    assert.equal("X-Y", r.headers["access-control-allow-headers"])
    assert.equal("60", r.headers["access-control-max-age"])
    assert.equal("GET, HEAD, OPTIONS", r.headers["access-control-allow-methods"])
    assert.is_nil(s.ask("GET", "/own", { headers = { "Origin: https://a.example" } }).headers["access-control-allow-origin"])
    s.stop()
  end)
  it("refuses what is no route, at its line", function()
    assert.matches("s.lua:2: api:get /x: a handler", refused 'ml.api():get("/x")')
    assert.matches("s.lua:2: GET x: a path begins with '/'", refused 'ml.api():get("x", function() end)')
    assert.matches("is there already, as /{a}", refused 'local a = ml.api()\na:get("/{a}", function() end)\na:get("/{b}", function() end)')
    assert.matches("unknown option 'timout' %(did you mean 'timeout'%?%)", refused 'ml.api():get("/x", { timout = 1 }, function() end)')
    assert.matches("prefix begins with '/'", refused 'ml.api { prefix = "v1" }')
    assert.matches("definitions belong to the top", refused 'local a = ml.api()\nml.setup(function() a:get("/x", function() end) end)')
  end)
  it("may be at the top of a script whose workflows run", function()
    local v = t.workflow("return 1", { top = 'local api = ml.api { prefix = "/a" }\napi:get("/x", function() end):static("/s", ".")' })
    assert.equal(1, v)
  end)
end)

local function method(name, verb, path)
  describe("api:" .. name, function()
    after_each(ended)
    it("answers " .. verb, function()
      local s = serve(('ml.api():%s("%s", function(req) return { req.method, req.params.id, req.pattern } end)'):format(name, path))
      assert.same({ verb, "a/ö", path }, s.ask(verb, "/p/a%2F%C3%B6").value)
      local r = s.ask("SEARCH", "/p/1")
      problem(r, 405, "method-not-allowed")
      assert.equal(verb == "GET" and "GET, HEAD" or verb, r.headers.allow)
      s.stop()
    end)
  end)
end
method("get", "GET", "/p/{id}")
method("post", "POST", "/p/{id}")
method("put", "PUT", "/p/{id}")
method("patch", "PATCH", "/p/{id}")
method("delete", "DELETE", "/p/{id}")

describe("api:route", function()
  after_each(ended)
  it("answers any method, and the closest path", function()
    local s = serve [[
      local api = ml.api()
      api:route("REPORT", "/x", function(req) return req.method end)
      api:get("/a/{rest...}", function(req) return "rest " .. req.params.rest end):get("/a/{one}", function(req) return "one " .. req.params.one end)
        :get("/a/b", function() return "b" end)]]
    assert.equal("REPORT", s.ask("REPORT", "/x").body)
    assert.equal("b", s.ask("GET", "/a/b").body)
    assert.equal("one c", s.ask("GET", "/a/c").body)
    assert.equal("rest c/d", s.ask("GET", "/a/c/d").body)
    local head = s.ask("HEAD", "/a/b")
    assert.same({ 200, "1", "" }, { head.status, head.headers["content-length"], head.body })
    assert.equal("REPORT", s.ask("OPTIONS", "/x").headers.allow)
    s.stop()
  end)
end)

describe("api:static", function()
  after_each(ended)
  it("serves files, and nothing outside of the folder", function()
    local s = serve('ml.api():static("/files", "public")', { files = { ["public/a.txt"] = "hello", ["public/sub/index.html"] = "<p>", ["secret.txt"] = "no",
      ["public/.hidden"] = "no" } })
    os.execute("ln -s ../secret.txt " .. s.dir.path .. "/public/link.txt && ln -s .. " .. s.dir.path .. "/public/up && mkdir " .. s.dir.path .. "/public/empty")
    local r = s.ask("GET", "/files/a.txt")
    assert.same({ 200, "hello", "text/plain; charset=utf-8" }, { r.status, r.body, r.headers["content-type"] })
    assert.equal(304, s.ask("GET", "/files/a.txt", { headers = { "If-None-Match: " .. r.headers.etag } }).status)
    assert.equal(304, s.ask("GET", "/files/a.txt", { headers = { "If-Modified-Since: " .. r.headers["last-modified"] } }).status)
    s.dir:write("public/a.txt", "hello again")
    assert.equal("hello again", s.ask("GET", "/files/a.txt", { headers = { "If-None-Match: " .. r.headers.etag } }).body)
    assert.equal("<p>", s.ask("GET", "/files/sub/").body)
    for _, path in ipairs { "/files/../secret.txt", "/files/%2e%2e/secret.txt", "/files/..%2Fsecret.txt", "/files/link.txt", "/files/up/secret.txt", "/files/.hidden",
      "/files/%2Fetc%2Fpasswd", "/files//etc/passwd", "/files/nope", "/files/empty", "/files/empty/", "/files/sub", "/files/a.txt/", "/files/a%00.txt" } do
      local wrong = s.ask("GET", path)
      assert.is_true(wrong.status == 404 or wrong.status == 400, path .. " " .. tostring(wrong.status))
    end
    s.stop()
  end)
end)

describe("ml.response", function()
  after_each(ended)
  it("is an answer of one's own", function()
    local s = serve [[
      local api = ml.api()
      api:get("/json", function() return ml.response { status = 201, json = { n = 9007199254740993 }, headers = { ["X-A"] = "b", ["Set-Cookie"] = { "a=1", "b=2" } } } end)
      api:get("/text", function() return ml.response { body = "<p>", headers = { ["Content-Type"] = "text/html" } } end)
      api:get("/bytes", function() return ml.response { body = ml.bytes("\0\255") } end)
      api:get("/none", function() return ml.response { status = 304 } end)
      api:get("/nil", function() end)
      api:get("/number", function() return 5 end)
      api:get("/list", function() return ml.list {} end)
      api:get("/inject", function() return ml.response { headers = { ["X-A"] = "a\r\nX-B: c" } } end)
      api:get("/status", function() return ml.response { status = 99 } end)
      api:get("/unsendable", function() return { f = print } end)]]
    local r = s.ask("GET", "/json")
    assert.same({ 201, '{"n":9007199254740993}', "b" }, { r.status, r.body, r.headers["x-a"] })
    assert.matches("Set%-Cookie: a=1\r\n.*Set%-Cookie: b=2\r\n", r.text)
    assert.equal("text/html", s.ask("GET", "/text").headers["content-type"])
    assert.equal("\0\255", s.ask("GET", "/bytes").body)
    assert.equal(304, s.ask("GET", "/none").status)
    assert.equal(204, s.ask("GET", "/nil").status)
    assert.equal("5", s.ask("GET", "/number").body)
    assert.equal("[]", s.ask("GET", "/list").body)
    problem(s.ask("GET", "/inject"), 500, "internal")
    problem(s.ask("GET", "/status"), 500, "internal")
    problem(s.ask("GET", "/unsendable"), 500, "internal")
    assert.matches("status is a number from 200 to 599", s.dir:read("serve.err"))
    s.stop()
  end)
end)

describe("ml.problem", function()
  after_each(ended)
  it("is returned or raised, and what else is raised is told to the log only", function()
    local s = serve [[
      local api = ml.api()
      local function out() return ml.problem { status = 409, type = "taken", detail = "it is taken", field = "name", headers = { ["Retry-After"] = 7 } } end
      api:get("/returned", function() return out() end)
      api:get("/raised", function() error(out()) end)
      api:get("/url", function() return ml.problem { status = 402, type = "https://x.example/broke", title = "Broke" } end)
      api:get("/known", function() return ml.problem { type = "rate-limited" } end)
      api:get("/plain", function() return ml.problem { status = 410 } end)
      api:get("/boom", function() local x = nil; return x.password_is_hunter2 end)
      api:get("/fail", function() ml.fail("hunter2", { type = "Odd" }) end)
      api:get("/exit", function() os.exit(3) end)]]
    for _, path in ipairs { "/returned", "/raised" } do
      local r = s.ask("GET", path)
      local p = problem(r, 409, "taken")
      assert.same({ "it is taken", "name", "Conflict", "7" }, { p.detail, p.field, p.title, r.headers["retry-after"] })
    end
    assert.same({ status = 402, type = "https://x.example/broke", title = "Broke" }, s.ask("GET", "/url").value)
    assert.equal("Too many requests", problem(s.ask("GET", "/known"), 429, "rate-limited").title)
    assert.same({ status = 410, type = "about:blank", title = "Gone" }, s.ask("GET", "/plain").value)
    for _, path in ipairs { "/boom", "/fail", "/exit" } do
      local r = s.ask("GET", path)
      problem(r, 500, "internal")
      assert.is_nil(r.text:find("hunter2", 1, true))
    end
    local err = s.dir:read("serve.err")
    assert.matches("GET /boom: s.lua:9: attempt to index a nil value", err)
    assert.matches("stack traceback", err)
    assert.matches("Odd: hunter2", err)
    s.stop()
  end)
end)

describe("ml.stream", function()
  after_each(ended)
  it("sends texts and events as they come", function()
    local s = serve [[
      local api = ml.api()
      api:get("/text", function() return ml.stream(function(send) for i = 1, 3 do send("part " .. i .. "\n") end end, { status = 203, headers = { ["X-A"] = "b" } }) end)
      api:get("/events", function() return function(send)
        send { event = "token", data = { text = "a\nb" }, id = 1 }
        send { data = "two\nlines" }
        send "plain"
      end end)
      api:get("/typed", function() return ml.stream(function(send) send("{}\n") end, { type = "application/x-ndjson" }) end)
      api:get("/empty", function() return ml.stream(function() end) end)
      api:get("/early", function() return ml.stream(function(send) error("before") end) end)
      api:get("/late", function() return ml.stream(function(send) send("x") ml.sleep(0.05) error("after") end) end)
      api:get("/big", function() return ml.stream(function(send) for i = 1, 50 do send(("x"):rep(100000)) end end) end)]]
    local r = s.ask("GET", "/text")
    assert.same({ 203, "part 1\npart 2\npart 3\n", "b" }, { r.status, r.body, r.headers["x-a"] })
    r = s.ask("GET", "/events")
    assert.equal("text/event-stream", r.headers["content-type"])
    assert.equal('id: 1\nevent: token\ndata: {"text":"a\\nb"}\n\ndata: two\ndata: lines\n\ndata: plain\n\n', r.body)
    assert.equal("application/x-ndjson", s.ask("GET", "/typed").headers["content-type"])
    assert.same({ 200, "" }, { s.ask("GET", "/empty").status, s.ask("GET", "/empty").body })
    problem(s.ask("GET", "/early"), 500, "internal")
    assert.matches("curl: %(18%)", s.ask("GET", "/late").text) -- cut, not ended
    assert.equal(5000000, #s.ask("GET", "/big").body)
    assert.equal(5000000, #s.ask("GET", "/big", { flags = "--limit-rate 20M" }).body)
    s.stop()
  end)
  it("ends the handler when its listener leaves", function()
    local s = serve [[
      ml.api():get("/x", function() return ml.stream(function(send)
        local f <close> = setmetatable({}, { __close = function() ml.log.info("the listener has left") end })
        while true do send { data = "tick" } ml.sleep(0.05) end
      end) end):get("/y", function()
        local f <close> = setmetatable({}, { __close = function() ml.log.info("nobody waits") end })
        ml.sleep(20)
      end)]]
    assert.matches("curl: %(28%)", s.ask("GET", "/x", { flags = "-m 0.5" }).text)
    t.eventually("the handler ended", function() return s.dir:read("serve.err"):find("the listener has left", 1, true) end)
    assert.matches("curl: %(28%)", s.ask("GET", "/y", { flags = "-m 0.5" }).text)
    t.eventually("the handler ended", function() return s.dir:read("serve.err"):find("nobody waits", 1, true) end)
    s.stop()
  end)
end)

describe("request:json", function()
  after_each(ended)
  it("decodes the body, or answers what is wrong with it", function()
    local s = serve [[
      ml.api():post("/x", function(req) return req:json() end):post("/input", { input = { type = "object" } }, function(req) return req.input end)
        :get("/input/{id}", { input = { type = "object" } }, function(req) return req.input end)]]
    assert.equal('{"a":9007199254740993,"b":1.0}', s.ask("POST", "/x", { body = '{"b":1.0,"a":9007199254740993}' }).body)
    assert.matches("the body is not JSON", problem(s.ask("POST", "/x", { body = "{a" }), 400, "bad-json").detail)
    problem(s.ask("POST", "/x", { body = "" }), 400, "bad-json")
    assert.same({ a = 1 }, s.ask("POST", "/input", { body = '{"a":1}', headers = { "Content-Type: application/json" } }).value)
    assert.same({ a = "1" }, s.ask("POST", "/input", { body = "a=1" }).value) -- curl's content type is a form's
    assert.same({ a = "1", id = "7" }, s.ask("GET", "/input/7?a=1").value)
    s.stop()
  end)
end)

describe("request:form", function()
  after_each(ended)
  it("reads a form", function()
    local s = serve 'ml.api():post("/x", function(req) return { req:form(), req.query, req.headers["x-y"], req.query_string } end)'
    local r = s.ask("POST", "/x?q=%C3%B6&q=2&e", { body = "a=1&b=x+y%26&a=2&c", headers = { "X-Y: one", "X-Y: two" } })
    assert.same({ { a = "1", b = "x y&", c = "" }, { q = "ö", e = "" }, "one, two", "q=%C3%B6&q=2&e" }, r.value)
    problem(s.ask("POST", "/x", { body = "a=1", headers = { "Content-Type: text/plain" } }), 415, "media-type")
    s.stop()
  end)
end)

describe("moonloop serve", function()
  after_each(ended)
  it("runs the workflows that handlers start, and tells its health", function()
    local s = serve [[
      local double = ml.activity("double", { timeout = "5s" }, function(n) return n * 2 end)
      ml.workflow("w", function(n) return double(n) end)
      ml.api():post("/w", function(req) return { ml.client.start("w", { input = req:json() }):result() } end)]]
    assert.same({ 42 }, s.ask("POST", "/w", { body = "21" }).value)
    assert.same({ status = "ok" }, s.ask("GET", "/healthz").value)
    assert.same({ status = "ready" }, s.ask("GET", "/readyz").value)
    problem(s.ask("POST", "/healthz"), 405, "method-not-allowed")
    assert.equal(1, #s.dir:exec({ "list", "--json" }).value)
    s.stop()
  end)
  it("serves a tool as a route", function()
    local s = serve [[
      local add = ml.tool { name = "add", run = function(args) return { sum = args.a + args.b } end }
      ml.api():post("/add", add):get("/add/{a}/{b}", add)]]
    assert.same({ sum = 3 }, s.ask("POST", "/add", { body = '{"a":1,"b":2}', headers = { "Content-Type: application/json" } }).value)
    assert.same({ sum = 7 }, s.ask("GET", "/add/3/4").value)
    s.stop()
  end)
  it("finishes what runs when it is asked to stop", function()
    local s = serve 'ml.api():get("/x", function() ml.sleep(1) return "done" end)'
    local d = s.dir
    os.execute(("cd %s && { curl -s -m 20 %s/x >x.out 2>&1 & } && sleep 0.4"):format(d.path, s.url))
    s.bg:kill("TERM")
    t.eventually("the answer came", function() return d:read("x.out") == "done" end, 5)
    t.eventually("serve ends", function() return not os.execute("kill -0 " .. s.bg.pid .. " 2>/dev/null") end)
    d:remove()
  end)
  it("ends at once when it is asked a second time", function()
    local s = serve 'ml.api():get("/x", function() ml.sleep(30) return "done" end)'
    os.execute(("cd %s && { curl -s -m 40 %s/x >x.out 2>&1 & } && sleep 0.4"):format(s.dir.path, s.url))
    s.bg:kill("TERM")
    t.eventually("it stops", function() return s.dir:read("serve.out") ~= "" and os.execute("sleep 0.3") end)
    assert.is_true(os.execute("kill -0 " .. s.bg.pid .. " 2>/dev/null")) -- it waits for the handler
    os.execute("kill -TERM " .. s.bg.pid)
    t.eventually("serve ends", function() return not os.execute("kill -0 " .. s.bg.pid .. " 2>/dev/null") end, 2)
    s.dir:remove()
  end)
  it("loads changed scripts again, and keeps the text that worked", function()
    local s = serve('local m = require "m"\nml.api():get("/x", function() return m end)', { files = { ["m.lua"] = 'return "one"' }, args = { "--watch" } })
    assert.equal("one", s.ask("GET", "/x").body)
    s.dir:write("m.lua", 'return "two"')
    t.eventually("the new text answers", function() return s.ask("GET", "/x").body == "two" end)
    s.dir:write("s.lua", 'local ml = require "moonloop"\nml.api():get("/y", function() return "y" end')
    os.execute("sleep 1")
    assert.equal("two", s.ask("GET", "/x").body)
    s.dir:write("s.lua", 'local ml = require "moonloop"\nml.api():get("/y", function() return "y" end)')
    t.eventually("the new route is there", function() return s.ask("GET", "/y").body == "y" end)
    assert.equal(404, s.ask("GET", "/x").status)
    s.stop()
  end)
  it("says what is wrong with how it is called", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\nml.api():get("/x", function() end)', ["p.lua"] = 'print("hello")',
      ["two.lua"] = 'local ml = require "moonloop"\nml.api():get("/x", function() end)' }
    local function says(code, text, ...)
      local r = d:exec({ "serve", ... }, { timeout = 10 })
      assert.equal(code, r.code, r.err)
      assert.matches(text, r.err)
    end
    says(2, "SCRIPT is missing")
    says(2, "no script nope.lua", "nope.lua")
    says(2, "%-%-port is a number from 0", "s.lua", "--port", "x")
    says(2, "%-%-port is a number from 0", "s.lua", "--port", "65536")
    says(2, "belong together", "s.lua", "--tls-cert", "x")
    says(2, "cannot be read", "s.lua", "--tls-cert", "nope", "--tls-key", "nope")
    says(2, "is not an address", "s.lua", "--host", "example.com")
    says(2, "p.lua defines nothing", "p.lua")
    says(2, "another script has the route: GET /x is there already", "s.lua", "two.lua")
    d:exec { "run", "s.lua", "--clock", "virtual" }
    d:remove()
  end)
  it("serves HTTPS", function()
    local d = t.dir {}
    os.execute(("cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null")
      :format(d.path))
    local s = serve('ml.api():post("/x", function(req) return req:json() end)', { args = { "--tls-cert", d.path .. "/cert.pem", "--tls-key", d.path .. "/key.pem" } })
    assert.matches("^https://127", s.url)
    assert.same({ 1, 2 }, s.ask("POST", "/x", { body = "[1,2]", flags = "--cacert " .. d.path .. "/cert.pem" }).value)
    assert.matches("curl: %(60%)", s.ask("POST", "/x", { body = "[1,2]" }).text)
    d:remove()
    s.stop()
  end)
end)

describe("the operating routes", function()
  after_each(ended)
  local JSON = { "Content-Type: application/json" }
  local app = [[
    local double = ml.activity("double", { timeout = "5s" }, function(n) return n * 2 end)
    ml.workflow("w", function(n) return { n = n, twice = double(2) } end)
    ml.workflow("bad", function() ml.fail("it is broken", { type = "Odd", retryable = false }) end)
    ml.workflow("talk", function()
      local got
      ml.query("got", function(a, b) return { got, a, b } end)
      ml.update("set", function(v) if v == "no" then ml.fail("not that", { type = "Refused" }) end got = v return "was set" end)
      local _, v = ml.channel("go"):receive()
      return v
    end)
    local double_schema = ml.schema { n = "integer" }
    ml.api():post("/twice/{n}", { input = double_schema, summary = "Doubles" }, function(req) return req.input.n * 2 end)
      :get("/twice", { input = double_schema }, function(req) return req.input.n * 2 end)]]
  it("start, list, describe, show, signal, query, update, wait, cancel, terminate and delete runs", function()
    local s = serve(app)
    local function ask(verb, path, body, status)
      local r = s.ask(verb, path, { body = body, headers = JSON })
      assert.equal(status or 200, r.status, path .. "\n" .. r.text)
      return r.value, r
    end
    local started = ask("POST", "/v1/workflows", '{"workflow":"w","id":"a","input":9007199254740993,"requestId":"r1"}', 201)
    assert.equal("a", started.workflowId)
    assert.matches('"result":{"n":9007199254740993,"twice":4}', s.ask("GET", "/v1/workflows/a/result?wait=10").body)
    assert.is_true(ask("POST", "/v1/workflows", '{"workflow":"w","id":"a","input":9007199254740993,"requestId":"r1"}').existing)
    ask("POST", "/v1/workflows", '{"workflow":"bad","id":"b","options":{"memo":{"x":1}}}', 201)
    local failed = ask("GET", "/v1/workflows/b/result?wait=10")
    assert.same({ "Failed", "Odd", "it is broken" }, { failed.status, failed.failure.type, failed.failure.message })
    ask("POST", "/v1/workflows", '{"workflow":"talk","id":"c"}', 201)
    assert.equal("Running", ask("GET", "/v1/workflows/c/result", nil, 202).status)
    assert.equal("Running", ask("GET", "/v1/workflows/c/result?wait=0.3", nil, 202).status)
    assert.equal("was set", ask("POST", "/v1/workflows/c/update/set", '["x"]').result)
    assert.same({ "x", 1, 2 }, ask("POST", "/v1/workflows/c/query/got", "[1,2]").result)
    assert.equal("not that", problem(s.ask("POST", "/v1/workflows/c/update/set", { body = '["no"]', headers = JSON }), 409, "conflict").detail)
    os.execute(("cd %s && { curl -s '%s/v1/workflows/c/result?wait=20' >wait.out & } && sleep 0.3"):format(s.dir.path, s.url))
    ask("POST", "/v1/workflows/c/signal/go", '{"v":9007199254740993}', 202)
    t.eventually("the result came", function() return s.dir:read("wait.out"):find('"result":{"v":9007199254740993}', 1, true) end)
    ask("POST", "/v1/workflows", '{"workflow":"talk","id":"d"}', 201)
    ask("POST", "/v1/workflows/d/cancel", '{"reason":"enough"}', 202)
    assert.equal("Canceled", ask("GET", "/v1/workflows/d/result?wait=10").status)
    ask("POST", "/v1/workflows", '{"workflow":"talk","id":"e"}', 201)
    ask("POST", "/v1/workflows/e/terminate", nil, 202)
    assert.equal("Terminated", ask("GET", "/v1/workflows/e/result?wait=10").status)
    local list = ask("GET", "/v1/workflows?type=talk&limit=2")
    assert.equal(2, #(list.runs or list))
    local count = ask("GET", "/v1/count?status=Completed")
    assert.equal(2, count.byStatus.Completed)
    local history = ask("GET", "/v1/workflows/a/history")
    assert.equal("EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", history.events[1].eventType)
    assert.matches('"workflowId":"a"', s.ask("GET", "/v1/workflows/a").body)
    ask("DELETE", "/v1/workflows/a", nil, 204)
    problem(s.ask("GET", "/v1/workflows/a"), 404, "not-found")
    assert.matches("moonloop_workflows{status=\"Completed\"} 1\n", s.ask("GET", "/metrics").body)
    s.stop()
  end)
  it("say what is wrong with a request", function()
    local s = serve(app)
    local function wrong(status, kind, verb, path, body) return problem(s.ask(verb, path, { body = body, headers = JSON }), status, kind).detail end
    wrong(400, "bad-json", "POST", "/v1/workflows", "{")
    assert.matches("workflow is needed", wrong(400, "bad-request", "POST", "/v1/workflows", "{}"))
    assert.matches("no workflow 'nope'", wrong(404, "not-found", "POST", "/v1/workflows", '{"workflow":"nope"}'))
    wrong(400, "bad-request", "POST", "/v1/workflows", '{"workflow":"w","options":{"runTimeout":"soon"}}')
    wrong(404, "not-found", "POST", "/v1/workflows/x/signal/go")
    wrong(404, "not-found", "POST", "/v1/workflows/x/cancel")
    wrong(405, "method-not-allowed", "PUT", "/v1/workflows")
    wrong(405, "method-not-allowed", "POST", "/metrics")
    wrong(404, "not-found", "GET", "/v1/nope")
    s.stop()
  end)
  it("are for programs of this machine, or for who has a token", function()
    local s = serve(app)
    local function get(...) return s.ask("GET", "/v1/workflows", { headers = { ... } }) end
    assert.equal(200, get().status)
    problem(get("Origin: https://evil.example"), 403, "forbidden")
    problem(get("Host: evil.example"), 403, "forbidden")
    problem(get("Sec-Fetch-Site: cross-site"), 403, "forbidden")
    assert.equal(200, get("Origin: " .. s.url, "Sec-Fetch-Site: same-origin").status)
    assert.equal(401, get("Authorization: Bearer nonsense").status)
    local token = s.dir:exec({ "token", "create", "--scope", "operate", "--json" }).value.token
    local other = s.dir:exec({ "token", "create", "--scope", "posts", "--json" }).value.token
    assert.equal(200, get("Authorization: Bearer " .. token, "Host: api.example").status)
    assert.equal(403, get("Authorization: Bearer " .. other).status)
    s.stop()
    s = serve(app, { args = { "--host", "0.0.0.0" } })
    s.url = s.url:gsub("0%.0%.0%.0", "127.0.0.1")
    assert.equal(401, s.ask("GET", "/v1/workflows").status)
    assert.equal(401, s.ask("GET", "/metrics").status)
    assert.equal(200, s.ask("GET", "/healthz").status)
    assert.equal("4", s.ask("POST", "/twice/2", {}).body)
    s.stop()
  end)
  it("publish the script's own routes, whose input is checked by its schema", function()
    local s = serve(app)
    assert.equal("8", s.ask("GET", "/twice?n=4").body)
    assert.equal("10", s.ask("POST", "/twice/5").body)
    local p = problem(s.ask("GET", "/twice?n=x"), 422, "invalid-query")
    assert.same({ "/n", "type" }, { p.errors[1].pointer, p.errors[1].rule })
    problem(s.ask("POST", "/twice/1", { body = '{"n":"x"}', headers = JSON }), 422, "invalid-body")
    local api = s.ask("GET", "/openapi.json").value
    assert.equal("3.1.0", api.openapi)
    assert.is_table(api.paths["/v1/usage"].get.responses)
    assert.equal("id", api.paths["/v1/workflows/{id}"].get.parameters[1].name)
    local post = api.paths["/twice/{n}"].post
    assert.same({ "Doubles", "n", "path", "integer" },
      { post.summary, post.parameters[1].name, post.parameters[1]["in"], post.requestBody.content["application/json"].schema.properties.n.type })
    s.stop()
  end)
end)

-- The events of a text of server-sent events: a list of { id, event, data }.
local function events_of(text)
  local out = {}
  for block in text:gmatch("(.-)\n\n") do
    local e = { id = block:match("id: ([^\n]+)"), event = block:match("event: ([^\n]+)"), data = block:match("data: ([^\n]+)") }
    if e.event then out[#out + 1] = e end
  end
  return out
end

local function shape(events)
  local out = {}
  for _, e in ipairs(events) do
    out[#out + 1] = e.event == "history" and e.data:match('"type":"(%w+)"') or e.event == "progress" and e.data:match('"data":(.*)}$') or e.event
  end
  return table.concat(out, " ")
end

local talker = [[
  local talk = ml.activity("talk", { timeout = "30s", retry = { initial = "50ms" } }, function(n)
    for i = 1, n do
      ml.progress(i)
      ml.sleep(0.15)
    end
    if n == 2 and ml.info().attempt == 1 then ml.fail("once more") end
    return { said = n }
  end)
  ml.workflow("w", function(n) return talk(n) end)
  ml.workflow("chain", function(n) if n > 0 then ml.continue_as_new(n - 1) end return "end" end)
  ml.api():get("/runs/{id}", function(req) return ml.follow(req.params.id) end)]]

describe("ml.follow", function()
  after_each(ended)
  local JSON = { "Content-Type: application/json" }
  local function start(s, body) assert.equal(201, s.ask("POST", "/v1/workflows", { body = body, headers = JSON }).status) end
  it("answers with the events of a run to any number of listeners, and goes on where one stood", function()
    local s = serve(talker)
    start(s, '{"workflow":"w","id":"a","input":2}')
    os.execute(("cd %s && { curl -sN -m 20 %s/v1/workflows/a/stream >one.txt & }"):format(s.dir.path, s.url))
    local r = s.ask("GET", "/runs/a", { flags = "-N" })
    assert.same({ 200, "text/event-stream" }, { r.status, r.headers["content-type"] })
    local all = events_of(r.body)
    assert.equal("WorkflowExecutionStarted ActivityTaskScheduled 1 2 restarted 1 2 ActivityTaskStarted ActivityTaskCompleted end", shape(all))
    assert.matches('"status":"Completed","result":{"said":2}', all[#all].data)
    assert.matches('"scheduledEventId":5,"result":{"said":2}', all[#all - 1].data)
    t.eventually("the other listener heard the same", function() return shape(events_of(s.dir:read("one.txt"))) == shape(all) end)
    for i, e in ipairs(all) do -- when it comes back, what was said is history
      if i == #all then break end
      local rest = events_of(s.ask("GET", "/runs/a", { flags = "-N", headers = { "Last-Event-ID: " .. e.id } }).body)
      assert.equal(i == 1 and "ActivityTaskScheduled ActivityTaskStarted ActivityTaskCompleted end" or i < 8 and "ActivityTaskStarted ActivityTaskCompleted end"
        or i == 8 and "ActivityTaskCompleted end" or "end", shape(rest))
    end
    assert.equal("WorkflowExecutionStarted", shape { events_of(s.ask("GET", "/runs/a", { headers = { "Last-Event-ID: nonsense" } }).body)[1] })
    problem(s.ask("GET", "/runs/nope"), 404, "not-found")
    problem(s.ask("GET", "/v1/workflows/nope/stream"), 404, "not-found")
    s.stop()
  end)
  it("follows a run that continues as new", function()
    local s = serve(talker)
    start(s, '{"workflow":"chain","id":"c","input":2}')
    local first = s.ask("GET", "/v1/workflows/c/result?wait=10")
    assert.equal("end", first.value.result)
    local list = s.ask("GET", "/v1/workflows?idPrefix=c").value
    local oldest = (list.runs or list)[3] or (list.runs or list)[#(list.runs or list)]
    local heard = shape(events_of(s.ask("GET", "/v1/workflows/c/stream?runId=" .. oldest.runId).body))
    assert.equal("WorkflowExecutionStarted continued WorkflowExecutionStarted continued WorkflowExecutionStarted end", heard)
    s.stop()
  end)
  it("lets nobody miss anything when the server is killed", function()
    local s = serve(talker)
    start(s, '{"workflow":"w","id":"k","input":8}')
    os.execute(("cd %s && { curl -sN -m 20 %s/runs/k >one.txt & }"):format(s.dir.path, s.url))
    t.eventually("something was said", function() return s.dir:read("one.txt"):find('"n":3', 1, true) end)
    s.bg:kill("KILL")
    local before = events_of(s.dir:read("one.txt"))
    os.execute("sleep 0.2")
    s = serve(nil, { dir = s.dir })
    local after = events_of(s.ask("GET", "/runs/k", { flags = "-N", headers = { "Last-Event-ID: " .. before[#before].id } }).body)
    assert.matches("^restarted 1 2 3 4 5 6 7 8 ActivityTaskStarted ActivityTaskCompleted end$", shape(after))
    assert.matches('"attempt":2', after[1].data)
    s.stop()
  end)
  it("does not end the run when a listener leaves, nor keep it waiting", function()
    local s = serve(talker)
    start(s, '{"workflow":"w","id":"a","input":4}')
    assert.matches("curl: %(28%)", s.ask("GET", "/runs/a", { flags = "-N -m 0.4" }).text)
    assert.equal("Completed", s.ask("GET", "/v1/workflows/a/result?wait=10").value.status)
    s.stop()
  end)
end)

describe("ml.progress", function()
  after_each(ended)
  it("belongs to an activity, and costs nothing where nobody listens", function()
    assert.same({ "done" }, (t.activity('for i = 1, 3 do ml.progress { i = i } end return { "done" }')))
    local s = serve [[
      ml.api():get("/x", function() ml.progress(1) end)
      local say = ml.activity("say", { timeout = "10s" }, function(v) ml.progress(v) ml.sleep(0.2) return 1 end)
      ml.workflow("w", function() return say("heard") end)
      ml.api { prefix = "/a" }:post("/", function() return ml.follow(ml.client.start("w").id) end)]]
    problem(s.ask("GET", "/x"), 500, "internal")
    assert.matches("ml.progress belongs to an activity", s.dir:read("serve.err"))
    assert.matches('"data":"heard"', s.ask("POST", "/a/", { flags = "-N" }).body)
    s.stop()
  end)
end)

describe("approvals over HTTP", function()
  after_each(ended)
  it("are listed and decided, with the digest of what was shown", function()
    local s = serve [[
      ml.workflow("pay", function(n) return ml.approve { name = "pay", args = { cents = n } } end)
      ml.workflow("other", function() ml.sleep("1h") end)]]
    local JSON = { "Content-Type: application/json" }
    local function post(path, body) return s.ask("POST", path, { body = body, headers = JSON }) end
    for _, id in ipairs { "a", "b" } do post("/v1/workflows", ('{"workflow":"pay","id":"%s","input":9007199254740993}'):format(id)) end
    post("/v1/workflows", '{"workflow":"other","id":"o"}')
    local text = t.eventually("both wait", function()
      local r = s.ask("GET", "/v1/approvals")
      return r.value and #r.value == 2 and r.body
    end)
    assert.matches('"args":{"cents":9007199254740993}', text)
    local item = {}
    for _, i in ipairs(s.ask("GET", "/v1/approvals").value) do item[i.workflowId] = i end
    problem(post("/v1/approvals/a/approve", '{"id":"1"}'), 400, "bad-request")
    problem(post("/v1/approvals/a/maybe", "{}"), 404, "not-found")
    problem(post("/v1/approvals/a/approve", ('{"id":"%s","digest":"%s"}'):format(item.a.id, ("0"):rep(64))), 409, "conflict")
    assert.equal(200, post("/v1/approvals/a/approve", ('{"id":"%s","digest":"%s","by":"kim"}'):format(item.a.id, item.a.digest)).status)
    assert.equal(200, post("/v1/approvals/b/reject", ('{"id":"%s","digest":"%s","reason":"no"}'):format(item.b.id, item.b.digest)).status)
    local a, b = s.ask("GET", "/v1/workflows/a/result?wait=10").value.result, s.ask("GET", "/v1/workflows/b/result?wait=10").value.result
    assert.same({ true, "kim", false, "no" }, { a.approved, a.by, b.approved, b.reason })
    assert.same({}, s.ask("GET", "/v1/approvals").value)
    s.stop()
  end)
end)

describe("an agent's tokens", function()
  after_each(ended)
  it("reach the listeners of its run while the model speaks", function()
    local model = t.aimock('[{"match":{"userMessage":"speak"},"response":{"content":"This takes its time to come, piece by piece."},"latency":50,"chunkSize":10}]')
    local s = serve(([[
      local a = ml.agent { name = "a", model = ml.model("openai:gpt-4.1-mini", { base_url = "%s/v1" }), instructions = "Be brief." }
      ml.workflow("w", function() return a:run("speak") end)
      ml.api():get("/tokens", function() return ml.follow(ml.client.start("w").id) end)]]):format(model.url))
    local r = s.ask("GET", "/tokens", { flags = "-N" })
    model.stop()
    local said, whole = {}, nil
    for _, e in ipairs(events_of(r.body)) do
      if e.event == "progress" then said[#said + 1] = e.data:match('"text":"([^"]*)"') end
      if e.event == "end" then whole = e.data:match('"result":%["([^"]*)"') end
    end
    assert.equal("This takes its time to come, piece by piece.", table.concat(said), r.body)
    assert.is_true(#said >= 4)
    assert.equal("This takes its time to come, piece by piece.", whole, r.body)
    s.stop()
  end)
end)

describe("usage over HTTP", function()
  after_each(ended)
  it("sums what models were asked, by run, model, tool and key", function()
    local model = t.aimock [==[ [
      {"match":{"userMessage":"greet"},"response":{"content":"Hello.","usage":{"prompt_tokens":1000,"completion_tokens":100}}},
      {"match":{"userMessage":"weather","hasToolResult":false},"response":{"toolCalls":[{"id":"c1","name":"sky","arguments":{"n":1}},{"id":"c2","name":"sky","arguments":{"n":2}}],"usage":{"prompt_tokens":20,"completion_tokens":3}}},
      {"match":{"userMessage":"weather","hasToolResult":true},"response":{"content":"Cold.","usage":{"prompt_tokens":300,"completion_tokens":7}}} ] ]==]
    local s = serve(([[
      local sky = ml.tool { name = "sky", mode = "live", input = ml.schema { n = "integer" }, deadline = "2s", run = function(a) return a.n end }
      local a = ml.agent { name = "a", model = ml.model("openai:gpt-4.1-mini", { base_url = "%s/v1" }), instructions = "Be brief.", tools = { sky } }
      local b = ml.agent { name = "b", model = ml.model("openai:gpt-4.1", { base_url = "%s/v1" }), instructions = "Be brief." }
      ml.workflow("w", function(q) return a:run(q) end)
      ml.workflow("v", function(q) return b:run(q) end)
      ml.workflow("none", function() return 1 end)
      ml.api { auth = "bearer" }:post("/ask", { idempotency = false }, function(req) return ml.accept { workflow = "v", id = "keyed", input = "greet" } end)]]):format(model.url, model.url))
    assert.same({ calls = 0, input = 0, cached = 0, output = 0, reasoning = 0, nanoUsd = 0 }, s.ask("GET", "/v1/usage").value.total)
    local JSON = { "Content-Type: application/json" }
    s.ask("POST", "/v1/workflows", { body = '{"workflow":"w","id":"plain","input":"weather"}', headers = JSON })
    s.ask("POST", "/v1/workflows", { body = '{"workflow":"none","id":"none"}', headers = JSON })
    local key = s.dir:exec({ "token", "create", "--scope", "x", "--json" }).value
    local r = s.ask("POST", "/ask", { body = "{}", headers = { JSON[1], "Authorization: Bearer " .. key.token } })
    assert.equal(202, r.status, r.text)
    for _, id in ipairs { "plain", "none", "keyed" } do s.ask("GET", "/v1/workflows/" .. id .. "/result?wait=20") end
    local u = s.ask("GET", "/v1/usage").value
    model.stop()
    local function by(list, name)
      local out = {}
      for _, x in ipairs(list) do out[x[name]] = { x.calls, x.input, x.output } end
      return out
    end
    assert.same({ 3, 1320, 110 }, { u.total.calls, u.total.input, u.total.output })
    assert.same({ plain = { 2, 320, 10 }, keyed = { 1, 1000, 100 } }, by(u.run, "workflowId"))
    assert.same({ ["local"] = { 2, 320, 10 }, ["key:" .. key.id] = { 1, 1000, 100 } }, by(u.key, "key"))
    assert.same({ ["openai:gpt-4.1-mini"] = { 2, 320, 10 }, ["openai:gpt-4.1"] = { 1, 1000, 100 } }, by(u.model, "model"))
    assert.same({ sky = { 2 } }, by(u.tool, "tool"))
    assert.equal(u.total.nanoUsd, u.model[1].nanoUsd + u.model[2].nanoUsd)
    assert.is_true(u.total.nanoUsd > 0)
    local first = s.ask("GET", "/v1/usage?limit=2").value
    assert.is_string(first.nextPage)
    local second = s.ask("GET", "/v1/usage?limit=2&page=" .. first.nextPage).value
    assert.equal(3, first.total.calls + second.total.calls)
    assert.same({ keyed = { 1, 1000, 100 } }, by(s.ask("GET", "/v1/usage?type=v").value.run, "workflowId"))
    problem(s.ask("GET", "/v1/usage?status=Odd"), 400, "bad-request")
    s.stop()
  end)
end)
