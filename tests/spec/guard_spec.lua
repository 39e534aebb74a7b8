-- The guard of outgoing addresses in handlers and tools: on by itself there, off elsewhere, allowed by the operator, turned by the script.
local t = require "support"

local body = [[
local api = ml.api {}
local function get(url, options)
  local ok, r = pcall(ml.http.get, url, options)
  return { answer = ok and r.status or r.type, text = not ok and r.message or nil }
end
api:post("/fetch", function(req) local v = req:json() return get(v.url, v.options) end)
api:get("/env", function() return get(ml.env("SPEC_PEER", "PEER_URL") .. "/echo") end)
local look = ml.tool { name = "look", run = function(args) return get(args.url) end }
api:post("/tool", look)
local plain = ml.activity("plain", { timeout = "10s" }, function(url) return { get(url), get(url, { guard = true }) } end)
ml.workflow("w", function(url) return { tool = look { url = url }, plain = plain(url) } end)
]]

describe("requests of handlers and tools", function()
  local server, s
  setup(function()
    server = t.http_server()
    s = t.serve((body:gsub("PEER_URL", server.url)))
  end)
  teardown(function()
    s.stop()
    server.stop()
  end)
  local function fetch(path, url, options)
    local r = s.ask("POST", path, { body = ('{"url":"%s","options":%s}'):format(url, options or "{}"), headers = { "Content-Type: application/json" } })
    assert.equal(200, r.status, r.text)
    return r.value
  end

  it("do not reach this machine, whatever it is called", function()
    local port = server.url:match(":(%d+)$")
    for _, host in ipairs { "127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "0" } do
      local v = fetch("/fetch", ("http://%s:%s/echo"):format(host, port))
      assert.equal("AddressBlocked", v.answer, host)
    end
    assert.matches("a loopback address", fetch("/fetch", server.url).text)
    assert.equal("AddressBlocked", fetch("/tool", server.url .. "/echo").answer)
  end)
  it("reach it when the script says so", function()
    assert.equal(200, fetch("/fetch", server.url .. "/echo", '{"guard":false}').answer)
  end)
  it("reach what ml.env names, on that port only", function()
    assert.equal(200, s.ask("GET", "/env").value.answer)
    local port = tonumber(server.url:match(":(%d+)$"))
    assert.equal("AddressBlocked", fetch("/fetch", ("http://127.0.0.1:%d/"):format(port == 65535 and 1 or port + 1)).answer)
  end)
end)

describe("the guard in a workflow's activities", function()
  it("is on in a tool and off in an activity, and MOONLOOP_HTTP_ALLOW opens it", function()
    local server = t.http_server()
    local function run(allow)
      local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. body }
      local r = d:exec({ "run", "s.lua", "--workflow", "w", "--input", '"' .. server.url .. '/echo"' }, { env = { MOONLOOP_HTTP_ALLOW = allow } })
      d:remove()
      return r
    end
    local closed, open, bad = t.decode(run("").out), t.decode(run("10.0.0.0/8, 127.0.0.1").out),
      t.program_output("ml.http.get('http://127.0.0.1:1/', { guard = true })", { env = { MOONLOOP_HTTP_ALLOW = "127.0.0.1/99" } })
    server.stop()
    assert.same({ "AddressBlocked", 200, "AddressBlocked" }, { closed.tool.answer, closed.plain[1].answer, closed.plain[2].answer })
    assert.same({ 200, 200, 200 }, { open.tool.answer, open.plain[1].answer, open.plain[2].answer })
    assert.not_equal(0, bad.code)
    assert.matches('MOONLOOP_HTTP_ALLOW: "127.0.0.1/99" is no network', bad.err .. bad.out, 1, true)
  end)
end)
