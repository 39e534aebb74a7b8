-- host-side
-- What ml.llm.stream and agent:stream give: `for event in events`, and what a handler may return as it is (serve.lua sends it as
-- server-sent events). fn(emit) makes the events.
local M = {}

local class = { __name = "moonloop.events", __metatable = false, __call = function(self) return self.next() end }

function M.new(fn)
  local next_event = coroutine.wrap(function() fn(coroutine.yield) end)
  local over = false
  return setmetatable({ next = function()
    if over then return nil end
    local event = next_event()
    over = event == nil or event.type == "done"
    return event
  end }, class)
end

return M
