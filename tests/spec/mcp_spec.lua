-- The MCP server by its raw messages: what the official client would never send, the end, and what stands on standard output.
local t = require "support"

local body = [[
ml.tool { name = "add", input = ml.schema { a = "number", b = "number" }, run = function(args) return { sum = args.a + args.b } end }
ml.tool { name = "slow", deadline = "20s", run = function() ml.sleep("15s") return "late" end }
ml.tool { name = "loud", run = function() print("a line") io.write("more") os.execute("echo of a program") return "ok" end }
ml.workflow("hold", function() ml.channel("go"):receive { timeout = "1h" } return "held" end)
]]

-- The answers to lines, by id ("null" for those without); the command's result.
local function talk(lines, options)
  local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. (options and options.body or body) }
  local r = d:exec({ "mcp", "s.lua" }, { stdin = table.concat(lines, "\n") .. "\n" })
  d:remove()
  local answers = {}
  for line in r.out:gmatch("[^\n]+") do
    local v = t.decode(line)
    answers[v.id == t.null and "null" or v.id] = v
  end
  return answers, r
end

local function call(id, name, arguments)
  return ('{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"%s","arguments":%s}}'):format(id, name, arguments or "{}")
end

describe("moonloop mcp", function()
  it("negotiates the version", function()
    local a = talk {
      '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}',
      '{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocolVersion":"1999-01-01","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}',
      '{"jsonrpc":"2.0","id":3,"method":"initialize","params":{}}',
      '{"jsonrpc":"2.0","id":4,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2031-01-01"}}}',
      '{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}',
      '{"jsonrpc":"2.0","id":6,"method":"server/discover"}',
    }
    assert.equal("2024-11-05", a[1].result.protocolVersion)
    assert.equal("2025-11-25", a[2].result.protocolVersion)
    assert.equal(-32602, a[3].error.code)
    assert.equal(-32022, a[4].error.code)
    assert.same({ "2026-07-28" }, a[4].error.data.supported)
    assert.equal("complete", a[5].result.resultType)
    assert.equal(-32601, a[6].error.code)
  end)

  it("answers what is no request with the protocol's errors, and goes on", function()
    local a, r = talk {
      "nope", '{"id":1}', "[]", '[{"jsonrpc":"2.0","id":2,"method":"ping"}]', '"text"', "", "  ",
      '{"jsonrpc":"1.0","id":3,"method":"ping"}', '{"jsonrpc":"2.0","id":4,"method":"no/such"}', '{"jsonrpc":"2.0","id":5,"method":7}',
      '{"jsonrpc":"2.0","id":6,"method":"tools/call"}', '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":[]}', call(8, "nope"),
      call(9, "add", '"text"'), '{"jsonrpc":"2.0","id":{},"method":"ping"}', '{"jsonrpc":"2.0","id":null,"method":"ping"}',
      '{"jsonrpc":"2.0","method":"ping"}', '{"jsonrpc":"2.0","method":"notifications/initialized"}', '{"jsonrpc":"2.0","id":10,"result":{}}',
      '{"jsonrpc":"2.0","id":11,"method":"ping"}',
    }
    assert.equal(0, r.code, r.err)
    local codes = {}
    for id, v in pairs(a) do if v.error then codes[id] = v.error.code end end
    local n = select(2, r.out:gsub("\n", ""))
    assert.same({ ["null"] = codes["null"], [4] = -32601, [5] = -32600, [6] = -32602, [7] = -32602, [8] = -32602, [9] = -32602 }, codes)
    assert.same({}, a[11].result)
    assert.equal(15, n, r.out)
  end)

  it("tells what does not fit a tool, and keeps the script's words off standard output", function()
    local a, r = talk { call(1, "add", '{"a":1}'), call(2, "loud"), call(3, "add", '{"a":1,"b":2}') }
    assert.equal(true, a[1].result.isError)
    assert.matches("/b: is missing", a[1].result.content[1].text, 1, true)
    assert.equal("ok", a[2].result.content[1].text)
    assert.equal(3, a[3].result.structuredContent.sum)
    assert.matches("a line", r.err)
    assert.matches("of a program", r.err)
  end)

  it("gives a cancelled request no answer and ends it", function()
    local begun = os.time()
    local a, r = talk { call(1, "slow"), '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}', call(2, "add", '{"a":1,"b":2}'),
      '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"unknown"}}' }
    assert.is_nil(a[1])
    assert.equal(3, a[2].result.structuredContent.sum)
    assert.equal(0, r.code)
    assert.is_true(os.time() - begun < 4)
  end)

  it("refuses a line that is too long, and goes on", function()
    local a, r = talk { ("x"):rep((16 << 20) + 10), call(1, "add", '{"a":1,"b":2}') }
    assert.equal(-32600, a["null"].error.code, r.err)
    assert.equal(3, a[1].result.structuredContent.sum)
  end)

  it("keeps what was started over its end", function()
    local d = t.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. body }
    d:exec({ "mcp", "s.lua" }, { stdin = call(1, "start_hold", '{"id":"h"}') .. "\n" })
    local r = d:exec({ "mcp", "s.lua" }, { stdin = call(1, "workflow_signal", '{"id":"h","name":"go"}') .. "\n" .. call(2, "workflow_result", '{"id":"h"}') .. "\n" })
    d:remove()
    local last
    for line in r.out:gmatch("[^\n]+") do
      local v = t.decode(line)
      if v.id == 2 then last = v end
    end
    assert.equal("held", last.result.structuredContent.result)
  end)

  it("talks through the process that owns the file", function()
    local s = t.serve(body)
    local r = s.dir:exec({ "mcp", "s.lua" }, { stdin = call(1, "add", '{"a":1,"b":2}') .. "\n" })
    s.stop()
    assert.equal(0, r.code, r.err)
    assert.equal(3, t.decode(r.out).result.structuredContent.sum)
  end)

  it("says what is wrong with the script", function()
    local d = t.dir { ["program.lua"] = "print(1)", ["bad.lua"] = "(" }
    assert.equal(2, d:exec({ "mcp", "none.lua" }).code)
    local r = d:exec({ "mcp", "bad.lua" })
    assert.equal(2, r.code)
    assert.matches("bad.lua:1", r.err, 1, true)
    assert.equal(2, d:exec({ "mcp", "program.lua" }).code)
    assert.equal(2, d:exec({ "mcp" }).code)
    d:remove()
  end)
end)

describe("api:mcp", function()
  it("answers over HTTP, without workflows unless they are asked for", function()
    local s = t.serve(body .. 'ml.api {}:mcp("/mcp", { origins = { "https://app.example" } })')
    local function post(text, headers)
      local all = { "Content-Type: application/json", "Accept: application/json, text/event-stream" }
      for _, h in ipairs(headers or {}) do all[#all + 1] = h end
      return s.ask("POST", "/mcp", { body = text, headers = all })
    end
    local r = post(call(1, "add", '{"a":1,"b":2}'))
    assert.equal(200, r.status, r.text)
    assert.matches("application/json", r.headers["content-type"])
    assert.equal(3, r.value.result.structuredContent.sum)
    assert.equal(-32602, post(call(1, "start_hold")).value.error.code)
    assert.equal(202, post('{"jsonrpc":"2.0","method":"notifications/initialized"}').status)
    assert.equal(400, post("nope").status)
    assert.equal(400, post(call(1, "add"), { "MCP-Protocol-Version: 1999-01-01" }).status)
    assert.equal(200, post(call(1, "add"), { "MCP-Protocol-Version: 2025-06-18" }).status)
    assert.equal(403, post(call(1, "add"), { "Origin: https://evil.example" }).status)
    assert.equal(200, post(call(1, "add"), { "Origin: https://app.example" }).status)
    assert.equal(200, post(call(1, "add"), { "Origin: " .. s.url }).status)
    assert.equal(405, s.ask("GET", "/mcp").status)
    s.stop()
  end)
end)
