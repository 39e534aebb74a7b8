-- run-side: model
-- ml.model(name, options): which model is asked, where, with which credentials. A plain table, made at the top of a file in
-- every state; only where activities and handlers run does moonloop.llm ask it.
local ml = require "moonloop"
local core = require "moonloop.core"
local M, model = {}, {}

model.__index = model
model.__name = "model"
M.classes = { model = model }
M.meta = model

--- "openai:gpt-4.1-mini" and options as a model.
function M.model(name, options)
  if name == nil then error("ml.model: a name such as \"openai:gpt-4.1-mini\" is needed", 2) end
  if getmetatable(name) == model then return name end
  if options ~= nil then core.check_options(options, "model", "ml.model") end
  local m = setmetatable({}, model)
  for k, v in pairs(options or {}) do m[k] = v end
  m.name = name
  return m
end

--- Asks once: the same as ml.llm.chat with this model.
function model:chat(request)
  if core.in_run then
    error("model:chat is I/O; a workflow never does I/O; use an ml.agent, whose calls are recorded, or an activity", 2)
  end
  local o = {}
  for k, v in pairs(request or {}) do o[k] = v end
  o.model = self
  return ml.llm.chat(o)
end

return M
