-- What the specs share: scripts in temporary folders, run by the real program, with output, errors and exit code taken apart.
-- MOONLOOP is the program (ctest sets it); JSON is decoded by the program's own codec through `moonloop run` of a plain script only
-- where a spec is about that; here by the small reader below, so that a defect of the codec cannot hide itself.
local M = {}

M.program = os.getenv("MOONLOOP") or "build/moonloop"
M.root = os.getenv("MOONLOOP_ROOT") or "."
M.patience = tonumber(os.getenv("MOONLOOP_SPEC_TIMEOUT")) or 60

local function quote(s) return "'" .. tostring(s):gsub("'", "'\\''") .. "'" end

local function read(path)
  local f = io.open(path, "rb")
  if not f then return "" end
  local s = f:read("a")
  f:close()
  return s
end

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

-- ---- a small JSON reader ----
local function decode(s)
  local at = 1
  local value
  local function blank() at = s:find("[^ \t\r\n]", at) or #s + 1 end
  local function fail(what) error(("JSON: %s at byte %d of %s"):format(what, at, s:sub(1, 200)), 0) end
  local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
  local function text()
    local out = {}
    at = at + 1
    while true do
      local from, to = s:find('^[^"\\]+', at)
      if from then out[#out + 1] = s:sub(from, to) at = to + 1 end
      local c = s:sub(at, at)
      if c == '"' then at = at + 1 return table.concat(out) end
      if c ~= "\\" then fail("string") end
      local e = s:sub(at + 1, at + 1)
      if e == "u" then
        out[#out + 1] = utf8.char(tonumber(s:sub(at + 2, at + 5), 16))
        at = at + 6
      else
        out[#out + 1] = escapes[e] or e
        at = at + 2
      end
    end
  end
  local function list()
    local out = {}
    at = at + 1
    blank()
    if s:sub(at, at) == "]" then at = at + 1 return out end
    while true do
      out[#out + 1] = value()
      blank()
      local c = s:sub(at, at)
      at = at + 1
      if c == "]" then return out end
      if c ~= "," then fail("list") end
    end
  end
  local function object()
    local out = {}
    at = at + 1
    blank()
    if s:sub(at, at) == "}" then at = at + 1 return out end
    while true do
      blank()
      local key = text()
      blank()
      if s:sub(at, at) ~= ":" then fail("object") end
      at = at + 1
      out[key] = value()
      blank()
      local c = s:sub(at, at)
      at = at + 1
      if c == "}" then return out end
      if c ~= "," then fail("object") end
    end
  end
  function value()
    blank()
    local c = s:sub(at, at)
    if c == "{" then return object() end
    if c == "[" then return list() end
    if c == '"' then return text() end
    for word, v in pairs { ["true"] = true, ["false"] = false, ["null"] = M.null } do
      if s:sub(at, at + #word - 1) == word then at = at + #word return v end
    end
    local number = s:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
    if not number then fail("value") end
    at = at + #number
    return math.tointeger(tonumber(number)) and not number:find("[.eE]") and math.tointeger(tonumber(number)) or tonumber(number)
  end
  local v = value()
  blank()
  if at <= #s then fail("text after the value") end
  return v
end

M.null = setmetatable({}, { __tostring = function() return "null" end })
M.decode = decode

-- ---- folders and programs ----
local Dir = {}
Dir.__index = Dir

-- A temporary folder; files is { name = text }.
function M.dir(files)
  local p = io.popen("mktemp -d /tmp/moonloop-spec-XXXXXX")
  local path = p:read("l")
  p:close()
  local d = setmetatable({ path = path, db = path .. "/t.db" }, Dir)
  for name, text in pairs(files or {}) do d:write(name, text) end
  return d
end

function Dir:write(name, text)
  local folder = name:match("^(.*)/")
  if folder then os.execute("mkdir -p " .. quote(self.path .. "/" .. folder)) end
  write(self.path .. "/" .. name, text)
end

function Dir:read(name) return read(self.path .. "/" .. name) end

function Dir:remove() os.execute("rm -rf " .. quote(self.path)) end

-- Runs the program with arguments in the folder. options: env, stdin, stdout (a path), timeout (seconds; M.patience). Returns { code, out, err, value }.
function Dir:exec(args, options)
  options = options or {}
  local parts = { "cd " .. quote(self.path) .. " &&" }
  parts[#parts + 1] = "MOONLOOP_DB=" .. quote(self.db)
  for k, v in pairs(options.env or {}) do parts[#parts + 1] = k .. "=" .. quote(v) end
  parts[#parts + 1] = "timeout -s KILL " .. (options.timeout or M.patience)
  parts[#parts + 1] = quote(M.program)
  for _, a in ipairs(args) do parts[#parts + 1] = quote(a) end
  if options.stdin then write(self.path .. "/.stdin", options.stdin) end
  parts[#parts + 1] = "<" .. (options.stdin and ".stdin" or "/dev/null") .. " >" .. (options.stdout or ".out") .. " 2>.err"
  local _, how, code = os.execute(table.concat(parts, " "))
  local r = { code = how == "exit" and code or 128 + code, out = read(self.path .. "/.out"), err = read(self.path .. "/.err") }
  local ok, v = pcall(decode, r.out)
  if ok then r.value = v end
  return r
end

-- Programs in the background that no spec has ended yet: those of a spec that failed end with the run of the specs.
local running = {}
local at_exit = setmetatable({}, { __gc = function()
  for pid in pairs(running) do os.execute("kill -KILL " .. pid .. " 2>/dev/null") end
end })
M.at_exit = at_exit

-- Starts a program in the background; returns { pid, kill(signal) }.
function Dir:spawn(args, name, env)
  name = name or "bg"
  local parts, vars = {}, {}
  for k, v in pairs(env or {}) do vars[#vars + 1] = k .. "=" .. quote(v) end
  for _, a in ipairs(args) do parts[#parts + 1] = quote(a) end
  local p = io.popen(("cd %s && %s MOONLOOP_DB=%s sh -c '%s %s >%s.out 2>%s.err </dev/null & echo $!'"):format(quote(self.path), table.concat(vars, " "), quote(self.db), M.program,
    table.concat(parts, " "):gsub("'", "'\\''"), name, name))
  local pid = p:read("l")
  p:close()
  running[pid] = true
  return { pid = pid, kill = function(_, signal)
    running[pid] = nil
    os.execute(("kill -%s %s 2>/dev/null"):format(signal or "KILL", pid))
  end }
end

-- Waits until fn() is true; an error after `seconds` (10) that says what did not come.
function M.eventually(what, fn, seconds)
  local tries = math.min(seconds or 10, M.patience) * 50
  for _ = 1, tries do
    local v = fn()
    if v then return v end
    os.execute("sleep 0.02")
  end
  error("did not happen: " .. what, 2)
end

-- The usual case: one script, run in virtual time. Returns the result of exec, with .dir removed unless options.keep.
-- body is the script's text without the first line `local ml = require "moonloop"`.
function M.run(body, options)
  options = options or {}
  local d = M.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. body }
  local args = { "run", "s.lua", "--clock", options.clock or "virtual" }
  if options.input then
    args[#args + 1] = "--input"
    args[#args + 1] = options.input
  end
  for _, a in ipairs(options.args or {}) do args[#args + 1] = a end
  local r = d:exec(args, options)
  if options.history then r.history = d:exec { "show", options.history, "--json" }.value end
  if options.keep then r.dir = d else d:remove() end
  return r
end

-- The value that the body of a workflow function returns: `M.workflow "return 1 + 1"`. Fails with the program's message otherwise.
-- options.top goes before the workflow (activities).
function M.workflow(body, options)
  options = options or {}
  local r = M.run((options.top or "") .. "\nml.workflow('w', function(input)\n" .. body .. "\nend)\n", options)
  if r.code ~= 0 then error(("exit code %d\n%s%s"):format(r.code, r.out, r.err), 2) end
  return r.value, r
end

-- The value that the body of an activity returns.
function M.activity(body, options)
  options = options or {}
  options.top = ("%s\nlocal act = ml.activity('act', { timeout = '%s', retry = { max_attempts = 1 } }, function(input)\n%s\nend)\n"):format(
    options.top or "", options.timeout_of_act or "30s", body)
  return M.workflow("return act(input)", options)
end

-- What a plain script prints.
function M.program_output(body, options)
  options = options or {}
  local d = M.dir { ["s.lua"] = 'local ml = require "moonloop"\n' .. body }
  local args = { "run", "s.lua" }
  if options.args then
    args[#args + 1] = "--"
    for _, a in ipairs(options.args) do args[#args + 1] = a end
  end
  local r = d:exec(args, options)
  if options.keep then r.dir = d else d:remove() end
  return r
end

-- The HTTP server of tests/support on a free port: { url, stop() }. It ends when its input is closed: with the sleep that holds it.
function M.http_server()
  local d = M.dir {}
  os.execute(("cd %s && mkfifo in && { sleep 600 >in & echo $! >pid; } && { python3 %s <in >out 2>&1 & }"):format(quote(d.path),
    quote(M.root .. "/tests/support/http_server.py")))
  local port = M.eventually("the HTTP server tells its port", function() return tonumber(d:read("out"):match("^(%d+)\n")) end)
  return { url = "http://127.0.0.1:" .. math.tointeger(port), stop = function()
    os.execute("kill " .. d:read("pid"))
    d:remove()
  end }
end

-- A server on a free port. command is a shell command in which PORT stands for the port, run in a folder with `files`; it counts as up when
-- path answers. Returns { url, dir, stop() }.
local function server(command, files, path)
  local d = M.dir(files)
  local p = io.popen("python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); print(s.getsockname()[1])'")
  local port = p:read("l")
  p:close()
  p = io.popen(("cd %s && exec 2>&1 && { %s >server.out 2>&1 </dev/null & echo $!; }"):format(quote(d.path), (command:gsub("PORT", port))))
  local pid = p:read("l")
  p:close()
  running[pid] = true
  local url = "http://127.0.0.1:" .. port
  M.eventually("the server answers: " .. command, function() return os.execute(("curl -s -o /dev/null %s%s"):format(url, path or "/")) end, 30)
  return { url = url, dir = d, stop = function()
    os.execute("kill " .. pid)
    running[pid] = nil
    d:remove()
  end }
end

local function tool(path)
  local tools = os.getenv("MOONLOOP_TEST_TOOLS")
  assert(tools, "MOONLOOP_TEST_TOOLS is not set: run scripts/test, or export MOONLOOP_TEST_TOOLS=$(scripts/test-tools)")
  return quote(tools .. "/" .. path)
end

-- Model servers that others wrote. fixtures: the text of a JSON list, in aimock's form; yaml: fakellm's.
function M.aimock(fixtures)
  return server("exec " .. tool "node/run" .. " " .. tool "node/node_modules/@copilotkit/aimock/dist/cli.js" .. " -p PORT --log-level silent -f f.json", { ["f.json"] = '{"fixtures":' .. fixtures .. "}" },
    "/__aimock/journal")
end

-- The reference server of MCP over streamable HTTP, and the command that starts it on standard input and output.
function M.mcp_everything()
  local entry = tool "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
  return server('exec env "PO""RT=PORT" ' .. tool "node/run" .. " " .. entry .. " streamableHttp", {}, "/mcp")
end

function M.mcp_everything_command()
  local function bare(path) return (tool(path):gsub("^'(.*)'$", "%1")) end
  return { bare "node/run", bare "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js", "stdio" }
end

function M.fakellm(yaml)
  return server("exec " .. tool "venv/bin/fakellm" .. " serve --host 127.0.0.1 --port PORT", { ["fakellm.yaml"] = yaml })
end

-- The text that an address answers.
function M.get(url)
  local p = io.popen("curl -s " .. quote(url))
  local text = p:read("a")
  p:close()
  return text
end

-- `moonloop serve s.lua` on a free port. body is the script's text without its first line. Returns { url, dir, bg, ask, stop }:
-- options.dir: goes on in that folder. ask(method, path, { body, headers, flags }) gives { status, headers (lower-case), body, value (of JSON) }; stop(signal) waits for the end.
function M.serve(body, options)
  options = options or {}
  local d = options.dir or M.dir {}
  if body then d:write("s.lua", 'local ml = require "moonloop"\n' .. body) end
  for name, text in pairs(options.files or {}) do d:write(name, text) end
  if options.dir then os.remove(d.path .. "/serve.out") end
  local args = { "serve", "s.lua", "--port", "0", "--json" }
  for _, a in ipairs(options.args or {}) do args[#args + 1] = a end
  local s = { dir = d, bg = d:spawn(args, "serve", options.env) }
  s.url = M.eventually("serve tells its address", function()
    local err = d:read("serve.err")
    if err:find('"error"', 1, true) then error(err, 0) end
    return d:read("serve.out"):match('"url":"([^"]+)"')
  end)
  function s.ask(method, path, o)
    o = o or {}
    local parts = { "curl -sS -i -m 20 --path-as-is -X", method }
    if method == "HEAD" then parts = { "curl -sS -i -m 20 --head" } end
    for _, h in ipairs(o.headers or {}) do parts[#parts + 1] = "-H " .. quote(h) end
    if o.body then
      d:write(".body", o.body)
      parts[#parts + 1] = "--data-binary @" .. quote(d.path .. "/.body")
    end
    parts[#parts + 1] = o.flags or ""
    parts[#parts + 1] = quote(s.url .. path) .. " 2>&1"
    local p = io.popen(table.concat(parts, " "))
    local text = p:read("a")
    p:close()
    text = text:gsub("^HTTP/1.1 100 Continue\r\n\r\n", "")
    local head, rest = text:match("^(.-)\r\n\r\n(.*)$")
    local r = { status = tonumber((head or ""):match("^HTTP/1.1 (%d+)")), headers = {}, body = rest, text = text }
    for name, value in (head or ""):gmatch("\n([^:\r\n]+): ([^\r\n]*)") do r.headers[name:lower()] = value end
    local ok, v = pcall(decode, rest or "")
    if ok then r.value = v end
    return r
  end
  function s.stop(signal)
    s.bg:kill(signal or "TERM")
    M.eventually("serve ends", function() return not os.execute("kill -0 " .. s.bg.pid .. " 2>/dev/null") end, 20)
    local err = d:read("serve.err")
    d:remove()
    if err:find("Sanitizer", 1, true) or err:find("runtime error", 1, true) then error(err, 0) end
  end
  return s
end

-- The data of lua/api: every public name.
function M.names()
  return assert(loadfile(M.root .. "/lua/api/names.lua"))(M.root .. "/lua/api")
end

-- The titles of all describes in the spec files: { title = file }. The files are loaded, their tests are not run.
function M.titles()
  local titles = {}
  local p = io.popen(("ls %s/tests/spec/*_spec.lua"):format(quote(M.root)))
  local function ignore() end
  local paths = {}
  for path in p:lines() do
    if not path:find("coverage_spec.lua", 1, true) then paths[#paths + 1] = path end -- it asks for the titles itself
  end
  p:close()
  for _, path in ipairs(paths) do
    local env = setmetatable({ it = ignore, pending = ignore, setup = ignore, teardown = ignore, before_each = ignore, after_each = ignore }, { __index = _G })
    env.describe = function(title, fn)
      titles[title] = path
      fn()
    end
    assert(loadfile(path, "t", env))()
  end
  return titles
end

return M
