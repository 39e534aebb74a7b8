-- The mutant run: for each name of lua/api, its spec is run with ML_NOOP=NAME, which makes the program (built with ML_TESTING) replace
-- what the name stands for by a function that does nothing. The spec must fail then; and pass without it, or its failing says nothing.
-- Usage: MOONLOOP=PROGRAM lua5.4 tests/mutants.lua [SHARD/SHARDS] [NAME...]
package.path = "tests/spec/?.lua;" .. package.path
local t = require "support"

local shard, shards, only = 1, 1, {}
for _, a in ipairs(arg) do
  local n, of = a:match("^(%d+)/(%d+)$")
  if n then shard, shards = tonumber(n), tonumber(of) else only[a] = true end
end

local titles = t.titles()

-- Runs the tests of one describe; whether they passed, and how many there were.
local function run(name, noop)
  local command = ("ML_NOOP='%s' MOONLOOP_SPEC_TIMEOUT=%d lua5.4 /usr/bin/busted --lpath='tests/spec/?.lua' -o plainTerminal --filter='^%s ' '%s' 2>&1"):format(
    noop or "", noop and 5 or 60, (name:gsub("%p", "%%%0")), titles[name])
  local p = io.popen(command)
  local text = p:read("a")
  local passed = p:close()
  local good, failed, errors = text:match("(%d+) success%a* / (%d+) failure%a* / (%d+) error")
  if not good then return nil, text end
  return passed == true and tonumber(failed) + tonumber(errors) == 0, tonumber(good) + tonumber(failed) + tonumber(errors), text
end

local bad, tried = {}, 0
local function wrong(name, why, text)
  bad[#bad + 1] = name
  print(("%s: %s"):format(name, why))
  if text then print((text:gsub("\n", "\n    "))) end
end

for i, entry in ipairs(t.names()) do
  local name = entry.name
  local mine = i % shards == shard - 1
  if next(only) then mine = only[name] end
  if mine then
    tried = tried + 1
    if not titles[name] then
      wrong(name, "has no spec")
    else
      local passes, n, text = run(name)
      if passes == nil then wrong(name, "its spec does not run", n)
      elseif n == 0 then wrong(name, "no test was found")
      elseif not passes then wrong(name, "its spec fails as it is", text)
      else
        passes, n = run(name, name)
        if passes == nil then wrong(name, "its spec does not run as a mutant", n) end
        if passes then wrong(name, "survives: its spec passes though it does nothing") end
      end
    end
  end
end
if tried == 0 then wrong("nothing", "was tried") end
print(("%d names, %d wrong"):format(tried, #bad))
os.exit(#bad == 0 and 0 or 1)
