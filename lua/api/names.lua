-- Every public name of the API, in the order of the reference: the one source of lua/meta, lua/REFERENCE.md, the coverage test
-- and the mutant run. Load it with the folder as argument: loadfile("lua/api/names.lua")("lua/api").
--
-- An entry: name ("ml.sleep", or "class:method"), where (workflow: inside a workflow function; activity: inside an activity, ml.setup
-- or a plain script; handler: in a handler of a route; top: at the top of a file), args = { { name, type, doc }, ... } (a name ending in "?" may be left out),
-- returns = { { type, doc }, ... }, errors (text), doc (text), options (a set of options.lua, for the argument called "options").
local dir = ... or "lua/api"
local names = {}
for _, part in ipairs { "workflow", "flow", "values", "activity", "io", "client", "agent", "serve" } do
  for _, entry in ipairs(assert(loadfile(dir .. "/" .. part .. ".lua"))()) do names[#names + 1] = entry end
end
return names
