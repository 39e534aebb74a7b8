-- moonloop token and moonloop audit: who may call, and the proof of what was done.
local t = require "support"

local function with(fn)
  local d = t.dir {}
  local ok, e = pcall(fn, d)
  d:remove()
  if not ok then error(e, 0) end
end

describe("moonloop token", function()
  it("makes a token that is told once and kept as a hash", function()
    with(function(d)
      local r = d:exec { "token", "create", "--scope", "posts:write,posts:read", "--rate", "30/min", "--credits", "20", "--name", "Ann", "--json" }
      assert.equal(0, r.code, r.err)
      assert.matches("^ml_" .. r.value.id .. "_[%w_-]+$", r.value.token)
      assert.equal(43, #r.value.token - #"ml__" - #r.value.id)
      local list = d:exec({ "token", "list", "--json" }).value
      assert.same({ "posts:write posts:read", "30/min", 20, 0, "Ann" },
        { list[1].scopes, list[1].rate, list[1].credits, list[1].held, list[1].name })
      local file = d:read("t.db") .. d:read("t.db-wal")
      assert.is_truthy(file:find(r.value.id, 1, true))
      assert.is_nil(file:find(r.value.token:sub(-40), 1, true))
      assert.matches(r.value.id .. " +good +20 +0 +30/min +Ann +posts:write posts:read", d:exec({ "token", "list" }).out)
    end)
  end)
  it("revokes one, once", function()
    with(function(d)
      local id = d:exec({ "token", "create", "--json" }).value.id
      assert.equal(0, d:exec({ "token", "revoke", id }).code)
      assert.is_truthy(d:exec({ "token", "list", "--json" }).value[1].revokedAt)
      local again = d:exec { "token", "revoke", id }
      assert.matches("there is no such token, or it was revoked before", again.err)
      assert.not_equal(0, again.code)
    end)
  end)
  it("adds credits, and takes back those that are free", function()
    with(function(d)
      local id = d:exec({ "token", "create", "--credits", "3", "--json" }).value.id
      assert.equal(0, d:exec({ "token", "credits", id, "+4" }).code)
      assert.equal(0, d:exec({ "token", "credits", id, "-2" }).code)
      assert.matches("fewer credits than that", d:exec({ "token", "credits", id, "-6" }).err)
      assert.equal(5, d:exec({ "token", "list", "--json" }).value[1].credits)
    end)
  end)
  it("refuses what makes no sense", function()
    with(function(d)
      local function refused(...)
        local r = d:exec { "token", ... }
        assert.equal(2, r.code, r.err)
        return r.err
      end
      assert.matches('"30/week" is no rate', refused("create", "--rate", "30/week"))
      assert.matches("%-%-credits is a whole number", refused("create", "--credits", "many"))
      assert.matches("a new token cannot have less than 0 credits", refused("create", "--credits", "-1"))
      assert.matches("scopes are words of plain characters", refused("create", "--scope", "a\"b"))
      assert.matches("belong to token create", refused("list", "--rate", "1/s"))
      assert.matches("token create", refused("make"))
      assert.matches("credits are a number that is not 0", refused("credits", "x", "0"))
    end)
  end)
end)

describe("moonloop audit", function()
  it("lists what was done and proves the chain and the ledger", function()
    with(function(d)
      local id = d:exec({ "token", "create", "--credits", "3", "--json" }).value.id
      d:exec { "token", "credits", id, "+4" }
      local rows = d:exec({ "audit", "list", "--json" }).value
      assert.same({ "token.create", "credits" }, { rows[1].action, rows[2].action })
      assert.same({ 4 }, { rows[2].detail.amount })
      assert.matches("^ +2 ", d:exec({ "audit", "list", "--after", "1" }).out)
      local r = d:exec { "audit", "verify", "--json" }
      assert.equal(0, r.code)
      assert.same({ true, 2, true, 2 }, { r.value.audit.ok, r.value.audit.rows, r.value.ledger.ok, r.value.ledger.entries })
    end)
  end)
  it("names the first row that does not hold", function()
    with(function(d)
      for _ = 1, 3 do d:exec { "token", "create" } end
      os.execute(("sqlite3 '%s' \"DROP TRIGGER api_audit_kept; UPDATE api_audit SET principal = 'x' WHERE n = 2\""):format(d.db))
      local r = d:exec { "audit", "verify" }
      assert.equal(1, r.code)
      assert.matches("audit row 2: its content is not what was written", r.err)
    end)
  end)
  it("cannot be changed in passing", function()
    with(function(d)
      d:exec { "token", "create", "--credits", "1" }
      local p = io.popen(("sqlite3 '%s' \"DELETE FROM api_audit\" \"UPDATE api_ledger SET amount = 2\" 2>&1"):format(d.db))
      local said = p:read("a")
      p:close()
      assert.matches("the audit only grows", said)
      assert.equal(0, d:exec({ "audit", "verify" }).code)
    end)
  end)
end)
