-- run-side
-- Whether a value fits a schema, in words for a model or a person. Schemas are ml.schema's, or tables in JSON Schema.
local ml = require "moonloop"
local M = {}

local SHOWN = 5 -- errors that are told

--- What a definition gave as a schema, as one that can be asked; nil stays nil. Raises where it is none.
function M.schema(given)
  if given == nil or type(given) == "userdata" then return given end
  return ml.json_schema(given)
end

--- nil when the value fits; else what is wrong with it.
function M.errors(schema, value)
  local ok, list = schema:validate(value)
  if ok then return nil end
  local out = {}
  for i, e in ipairs(list) do
    if i > SHOWN then break end
    out[i] = (e.pointer ~= "" and e.pointer .. ": " or "") .. e.message
  end
  return table.concat(out, "; ")
end

return M
