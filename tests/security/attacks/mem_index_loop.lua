-- attack: an __index that is its own table
-- expect: error loop
-- where: both
local t = {} setmetatable(t, {__index = t, __newindex = t}) return t.x, (function() t.x = 1 end)()
