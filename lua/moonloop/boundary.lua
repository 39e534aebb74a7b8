-- The boundary as Lua sees it: what stands between a caller and a tool's `run`. Loaded where activities and handlers run.
local ml = require "moonloop"
local M = {}

-- A live tool: nothing of it outlives the call, so a deadline may end it.
local function live(tool, args, call)
  local ok, value = ml.timeout(tool.deadline, tool.run, args, call)
  if not ok then
    ml.fail(("tool %s did not answer within %s"):format(tool.name, type(tool.deadline) == "number" and tool.deadline .. "s" or tool.deadline),
      { type = "ToolTimeout", retryable = true })
  end
  return value
end

--- Calls the tool with arguments (a table; absent: none).
function M.call(tool, args, context)
  context = context or {}
  if args == nil then args = {} end
  if type(args) ~= "table" then error(("tool %s takes a table of arguments, not a %s"):format(tool.name, type(args)), 3) end
  if not tool.run then ml.fail(("tool %s runs elsewhere"):format(tool.name), { type = "Unsupported", retryable = false }) end
  if tool.mode == "durable" then
    ml.fail(("tool %s is durable and there is no boundary here that could accept it"):format(tool.name), { type = "NoBoundary", retryable = false })
  end
  return live(tool, args, { tool = tool.name, principal = context.principal })
end

return M
