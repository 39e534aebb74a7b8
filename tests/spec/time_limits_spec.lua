-- The ends of time: durations and times that nobody can mean, years that no clock reaches, cron lines that never come, and
-- a process whose time zone changes its clocks. What is refused is refused with what, where and what to do, and nothing is harmed.
local t = require "support"

local head = 'local ml = require "moonloop"\n'
local range = "1677-09-21 to 2262-04-11"

local function with(files, fn)
  local d = t.dir(files)
  local ok, e = pcall(fn, d)
  d:remove()
  if not ok then error(e, 0) end
end

-- What each of the values gives in one place: runs one workflow that tries them all and goes on.
-- use: a Lua expression with %s for the value. Gives a list of texts ("ok" when nothing was raised).
local function outcomes(use, values, top)
  local lines = { "local got = ml.list {}" }
  for _, v in ipairs(values) do
    lines[#lines + 1] = ("do local ok, e = pcall(function() return %s end) got[#got + 1] = ok and 'ok' or tostring(e) end"):format((use:gsub("%%s", function() return v end)))
  end
  lines[#lines + 1] = "return got"
  return t.workflow(table.concat(lines, "\n"), { top = top, args = { "--workflow", "w" } })
end

local no_durations = {
  { "0/0", 'a duration such as "90s", or seconds, not not-a-number' },
  { "math.huge", "at most 100 years, not inf" },
  { "1e300", "at most 100 years, not 1e+300" },
  { "math.maxinteger", "at most 100 years, not 9223372036854775807" },
  { "3155760001", "at most 100 years, not 3155760001" },
  { '"36525d1s"', 'at most 100 years, not "36525d1s"' },
  { '"99999999999999999999999d"', 'at most 100 years, not "99999999999999999999999d"' },
  { '"1e300d"', 'a duration such as "90s", or seconds, not "1e300d"' },
  { '"soon"', 'a duration such as "90s", or seconds, not "soon"' },
  { '"-5s"', 'a duration such as "90s", or seconds, not "-5s"' },
  { '""', 'a duration such as "90s", or seconds, not ""' },
  { '"5"', 'a duration such as "90s", or seconds, not "5"' },
  { "{}", 'a duration such as "90s", or seconds, not a table' },
}
local negative = {
  { "-1", "0 or longer, not -1" },
  { "-math.huge", "0 or longer, not -inf" },
  { "math.mininteger", "0 or longer, not -9223372036854775808" },
}

describe("a duration that is none", function()
  local top = "local act = ml.activity('act', { timeout = '5s' }, function() return 1 end)\nlocal kid = ml.workflow('kid', function() end)\n"
  local loc = "local lact = ml.local_activity('lact', { timeout = '5s' }, function() return 1 end)\n"
  local places = {
    { "ml.sleep(%s)", "ml.sleep: the argument", true },
    { "ml.every(%s)", "ml.every: the argument" },
    { "ml.timeout(%s, function() end)", "ml.timeout: the argument" },
    { "ml.await(function() return false end, %s)", "ml.await: the argument", "options" },
    { "ml.await(function() return false end, { timeout = %s })", "ml.await: option 'timeout'" },
    { "ml.channel('x'):receive { timeout = %s }", "channel:receive: option 'timeout'" },
    { "ml.time.add(ml.now(), %s)", "ml.time.add: the argument" },
    { "ml.time.duration(%s)", "ml.time.duration: the argument" },
    { "act:with { timeout = %s } ()", "activity:with: option 'timeout'" },
    { "act:with { schedule_to_close = %s } ()", "activity:with: option 'schedule_to_close'" },
    { "act:with { heartbeat = %s } ()", "activity:with: option 'heartbeat'" },
    { "act:with { retry = { initial = %s } } ()", "activity:with: option 'initial'" },
    { "act:with { retry = { max = %s } } ()", "activity:with: option 'max'" },
    { "ml.child('kid', { run_timeout = %s })()", "ml.child: option 'run_timeout'" },
    { "ml.child('kid', { execution_timeout = %s })()", "ml.child: option 'execution_timeout'" },
    { "ml.continue_as_new(nil, { run_timeout = %s })", "ml.continue_as_new: option 'run_timeout'" },
    { "ml.fail('x', { retry_after = %s })", "ml.fail: option 'retry_after'" },
  }
  for _, place in ipairs(places) do
    it("is refused in " .. place[1], function()
      local cases = { table.unpack(no_durations) }
      if place[3] == "options" then cases[#cases] = nil end -- a table there is its options
      if place[3] ~= true then for _, c in ipairs(negative) do cases[#cases + 1] = c end end
      local values = {}
      for i, c in ipairs(cases) do values[i] = c[1] end
      local got = outcomes(place[1], values, top .. loc)
      for i, c in ipairs(cases) do
        assert.matches(place[2] .. " must be ", got[i], 1, true)
        assert.matches(c[2], got[i], 1, true)
        assert.matches("^s.lua:%d+: ", got[i])
      end
    end)
  end
  it("is no wait when it is negative, in ml.sleep alone", function()
    assert.same({ "ok", "ok", "ok", "ok" }, outcomes("ml.sleep(%s)", { "0", "-1", "-math.huge", "math.mininteger" }))
  end)
  it("is refused in the options of definitions, with the script's line", function()
    for _, c in ipairs(no_durations) do
      for _, define in ipairs { "ml.activity('a', { timeout = %s }, function() end)", "ml.workflow('a', { run_timeout = %s }, function() end)" } do
        local r = t.run((define:gsub("%%s", function() return c[1] end)))
        assert.equal(2, r.code, r.err)
        assert.matches("s.lua:2", r.err, 1, true)
        assert.matches(c[2], r.err, 1, true)
      end
    end
  end)
  it("is refused in an activity", function()
    for _, c in ipairs { no_durations[1], no_durations[2], no_durations[8] } do
      local v = t.activity(("local ok, e = pcall(ml.sleep, %s) return e"):format(c[1]))
      assert.matches("ml.sleep: the argument must be ", v, 1, true)
      assert.matches(c[2], v, 1, true)
    end
  end)
end)

describe("the longest durations", function()
  it("are 100 years, as text and as a number", function()
    local v = t.workflow [[
      local a = ml.time.parse(ml.now())
      ml.sleep("36525d")
      ml.sleep(3155760000)
      return (ml.time.parse(ml.now()) - a) // 1000000000]]
    assert.is_true(v >= 2 * 3155760000 and v < 2 * 3155760000 + 60, tostring(v))
  end)
  it("of an activity's time-out and retry do no harm", function()
    local v = t.workflow("return act()", { top = [[
      local act = ml.activity("act", { timeout = 3155760000, schedule_to_start = "36525d", heartbeat = "36525d",
        retry = { initial = "36525d", max = "36525d", backoff = 1000, max_attempts = 2 } }, function()
        if ml.info().attempt == 1 then error("again") end
        return ml.info().attempt
      end)]] })
    assert.equal(2, v)
  end)
end)

describe("a time that is none, or too far", function()
  local bad = {
    { '"9999-12-31T00:00:00Z"', "a time from " .. range .. ', not "9999-12-31T00:00:00Z"' },
    { '"10000-01-01T00:00:00Z"', "a time from " .. range .. ', not "10000-01-01T00:00:00Z"' },
    { '"123456789012345678901234-01-01"', "a time from " .. range },
    { '"-0001-01-01"', "a time from " .. range },
    { '"+12026-01-01"', "a time from " .. range },
    { '"1600-01-01"', "a time from " .. range },
    { '"2262-04-12"', "a time from " .. range },
    { '"2023-02-30"', 'a time such as "2026-03-01T09:00:00Z", or integer nanoseconds, not "2023-02-30"' },
    { '"25:00"', 'a time such as "2026-03-01T09:00:00Z", or integer nanoseconds, not "25:00"' },
    { '""', 'a time such as "2026-03-01T09:00:00Z", or integer nanoseconds, not ""' },
    { "0/0", "or integer nanoseconds, not not-a-number" },
    { "math.huge", "or integer nanoseconds, not inf" },
    { "-math.huge", "or integer nanoseconds, not -inf" },
    { "{}", "or integer nanoseconds, not a table" },
  }
  for _, place in ipairs {
    { "ml.sleep_until(%s)", "ml.sleep_until: the argument" },
    { "ml.await(function() return false end, { till = %s })", "ml.await: option 'till'" },
    { "ml.channel('x'):receive { till = %s }", "channel:receive: option 'till'" },
    { "ml.time.parse(%s)", "ml.time.parse: the argument" },
    { "ml.time.format(%s)", "ml.time.format: the argument" },
    { "ml.time.fields(%s)", "ml.time.fields: the argument" },
    { "ml.time.diff(%s, ml.now())", "ml.time.diff: the argument" },
  } do
    it("is refused in " .. place[1], function()
      local values = {}
      for i, c in ipairs(bad) do values[i] = c[1] end
      local got = outcomes(place[1], values)
      for i, c in ipairs(bad) do
        assert.matches(place[2] .. " must be ", got[i], 1, true)
        assert.matches(c[2], got[i], 1, true)
      end
    end)
  end
  it("is the sum of a time and a duration", function()
    local got = outcomes("ml.time.add('2262-04-11', %s)", { "'1d'", "'100d'" })
    assert.matches("ml.time.add: the sum is outside " .. range, got[2], 1, true)
  end)
end)

describe("the farthest times", function()
  it("are slept to, and those before 1970 are over", function()
    local v = t.workflow [[
      ml.sleep_until("1969-12-31T23:59:59Z")
      ml.sleep_until("1677-09-22")
      ml.sleep_until(-1)
      ml.sleep_until(math.mininteger)
      local now = ml.now()
      ml.sleep_until("2262-04-11T23:47:16Z")
      return { now < "2200", ml.now() }]]
    assert.same({ true, "2262-04-11T23:47:16Z" }, v)
  end)
  it("are the end of the clock: a sleep past it ends there", function()
    local v = t.workflow [[
      ml.sleep_until("2262-01-01")
      ml.sleep("36525d")
      return ml.now()]]
    assert.matches("^2262%-04%-11T23:47:16", v)
  end)
end)

describe("the command's options of time", function()
  local start = function(d, options) return d:exec { "start", "s.lua", "--id", "p", "--options", options } end
  local files = { ["s.lua"] = head .. 'ml.workflow("w", function() return 1 end)\n' }
  it("refuse what is no duration and start nothing", function()
    with(files, function(d)
      for _, key in ipairs { "startDelay", "executionTimeout", "runTimeout", "taskTimeout" } do
        for value, text in pairs {
          ["-1"] = "0 or longer, not -1", ["1e300"] = "at most 100 years, not 1e+300", ["3155760001"] = "at most 100 years",
          ['"1e300d"'] = 'a duration such as "90s", or seconds, not "1e300d"', ['"36526d"'] = 'at most 100 years, not "36526d"',
          ['"-1s"'] = 'a duration such as "90s"', ["true"] = 'or seconds, not true', ["{}"] = "or seconds, not {}" } do
          local r = start(d, ('{"%s":%s}'):format(key, value))
          assert.equal(2, r.code, r.err)
          assert.matches(key .. " must be ", r.err, 1, true)
          assert.matches(text, r.err, 1, true)
        end
      end
      for option, text in pairs {
        ['{"retry":{"initial":-1}}'] = "retry.initial must be 0 or longer", ['{"retry":{"max":1e300}}'] = "retry.max must be at most 100 years",
        ['{"retry":{"backoff":-1}}'] = "retry.backoff must be a number from 1 to 1000", ['{"retry":{"backoff":"soon"}}'] = "retry.backoff must be",
        ['{"retry":{"backoff":1e300}}'] = "retry.backoff must be", ['{"retry":{"maxAttempts":-1}}'] = "retry.maxAttempts must be",
        ['{"retry":{"maxAttempts":1e300}}'] = "retry.maxAttempts must be", ['{"retry":{"maxAttempts":"soon"}}'] = "retry.maxAttempts must be" } do
        local r = start(d, option)
        assert.equal(2, r.code, r.err)
        assert.matches(text, r.err, 1, true)
      end
      assert.same({}, d:exec({ "list", "--json" }).value)
      assert.equal(0, start(d, '{"startDelay":"1h","runTimeout":3155760000,"executionTimeout":"36525d","retry":{"backoff":2,"maxAttempts":3}}').code)
    end)
  end)
  it("--start-delay: a run of 100 years' delay begins then, not before", function()
    with(files, function(d)
      assert.equal(0, d:exec({ "start", "s.lua", "--id", "p", "--clock", "virtual", "--options", '{"startDelay":"36525d"}' }).code)
      local r = d:exec { "run", "s.lua", "--id", "p", "--until", "2100-01-01" }
      assert.equal(3, r.code, r.err)
      r = d:exec { "run", "s.lua", "--id", "p" }
      assert.equal("1\n", r.out, r.err)
    end)
  end)
  it("--until refuses what is no time", function()
    with(files, function(d)
      for _, v in ipairs { "soon", "", "9999-12-31", "10000-01-01", "-5", "1969-01-01", "2023-02-30" } do
        local r = d:exec { "run", "s.lua", "--clock", "virtual", "--until", v }
        assert.equal(2, r.code, v)
        assert.matches("--until takes a time after 1970 and before 2262-04-11", r.err, 1, true)
        assert.matches("not '" .. v .. "'", r.err, 1, true)
      end
    end)
  end)
end)

describe("a cron line", function()
  local files = { ["s.lua"] = head .. 'ml.workflow("w", function() return 1 end)\n' }
  it("that never comes, or is none, is refused and starts nothing", function()
    with(files, function(d)
      for line, text in pairs {
        ['"0 0 30 2 *"'] = "never comes: its months have no such day", ['"0 0 31 4,6,9,11 *"'] = "never comes",
        ['"60 * * * *"'] = "is not a cron schedule", ['"* * * *"'] = "is not a cron schedule", ['"@every 0s"'] = "from 1s to 100 years",
        ['"@every 36526d"'] = "from 1s to 100 years", ['"@every 1e300d"'] = "is not a cron schedule",
        ['"CRON_TZ=Europe/Berlin 0 2 * * *"'] = "all in UTC", ["5"] = "cron must be a text" } do
        local r = d:exec { "start", "s.lua", "--id", "p", "--options", '{"cron":' .. line .. "}" }
        assert.equal(2, r.code, line .. r.err)
        assert.matches(text, r.err, 1, true)
      end
      assert.same({}, d:exec({ "list", "--json" }).value)
      assert.equal(0, d:exec({ "start", "s.lua", "--id", "p", "--options", '{"cron":"0 0 29 2 *"}' }).code)
    end)
  end)
  it("of a child that never comes fails the task, not the program", function()
    local r = t.run("ml.workflow('kid', function() end)\nml.workflow('w', function() ml.child('kid', { cron = '0 0 30 2 *' }):start() end)\n",
      { args = { "--workflow", "w" } })
    assert.equal(3, r.code, r.err)
    assert.matches("never comes", r.err, 1, true)
  end)
  for _, zone in ipairs { "Europe/Berlin", "America/New_York", "UTC" } do
    it("is in UTC, whatever the process's time zone does to its clocks: TZ=" .. zone, function()
      with({ ["s.lua"] = head .. [[
local note = ml.activity("note", { timeout = "10s" }, function(line) ml.fs.append("ticks", line .. "\n") end)
ml.workflow("w", function()
  local day, fields = os.date("*t"), ml.time.fields(ml.now())
  note(("%s %s %s"):format(ml.now():sub(1, 16), os.date("%H:%M"), day.hour == fields.hour and day.isdst == false))
end)]] }, function(d)
        local year = tonumber(os.date("!%Y")) + 1 -- all of next year: both changes of the clocks, in March and in October (November)
        local cron = '{"cron":"30 1,2,6 * 3,10,11 0"}' -- Sundays, at the hours that are left out or come twice
        local env = { TZ = zone }
        assert.equal(0, d:exec({ "start", "s.lua", "--id", "p", "--clock", "virtual", "--options", cron }, { env = env }).code)
        d:exec({ "run", "s.lua", "--id", "p", "--until", year .. "-12-01T00:00:00Z" }, { env = env })
        local seen, last = 0, ""
        for date, hour, wall, same in d:read("ticks"):gmatch("(%d+%-%d+%-%d+)T(%d%d):30 (%S+) (%S+)\n") do
          assert.equal(hour .. ":30", wall)
          assert.equal("true", same)
          assert.is_true(date .. hour > last, date)
          last = date .. hour
          if date:sub(1, 4) == tostring(year) then seen = seen + 1 end
        end
        local sundays = 0
        for _, m in ipairs { { 3, 31 }, { 10, 31 }, { 11, 30 } } do
          for day = 1, m[2] do
            if os.date("!%w", os.time { year = year, month = m[1], day = day, hour = 12 }) == "0" then sundays = sundays + 1 end
          end
        end
        assert.equal(3 * sundays, seen)
      end)
    end)
  end
end)
