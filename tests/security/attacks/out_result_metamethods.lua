-- attack: metamethods that would run while the result is made into JSON
-- expect: value {"x":1}
-- where: both
local function bad() error('ran') end
return setmetatable({x = 1}, {__index = bad, __len = bad, __pairs = bad, __tostring = bad, __eq = bad, __lt = bad, __concat = bad, __name = 'FILE*'})
