-- Every ```lua block of lua/README.md is a whole script. One with a last line `--> JSON` is run in virtual time and must give that value
-- (its input may stand in a first line `-- input: JSON`); a plain script must end well; of the others the definitions are loaded.
local t = require "support"

local blocks = {}
do
  local number, at, lines = 0, nil, nil
  for line in io.lines(t.root .. "/lua/README.md") do
    number = number + 1
    if at and line == "```" then
      blocks[#blocks + 1] = { line = at, text = table.concat(lines, "\n") .. "\n" }
      at = nil
    elseif at then
      lines[#lines + 1] = line
    elseif line == "```lua" then
      at, lines = number + 1, {}
    end
  end
end

describe("the guide", function()
  it("has samples", function() assert.is_true(#blocks > 12) end)

  for _, b in ipairs(blocks) do
    it("line " .. b.line, function()
      assert.matches('local ml = require "moonloop"', b.text, 1, true)
      local d = t.dir { ["s.lua"] = b.text }
      local expected, input = b.text:match("%-%-> ([^\n]+)\n$"), b.text:match("^%-%- input: ([^\n]+)")
      local name = b.text:match('.*ml%.workflow%("([%w_]+)"')
      local args = { (expected or not name) and "run" or "start", "s.lua", "--clock", "virtual" }
      if name then args[#args + 1], args[#args + 2] = "--workflow", name end
      if input then args[#args + 1], args[#args + 2] = "--input", input end
      local r = d:exec(args)
      d:remove()
      assert.equal(0, r.code, r.out .. r.err)
      if expected then assert.equal(expected .. "\n", r.out) end
    end)
  end
end)
