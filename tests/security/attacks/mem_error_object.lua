-- attack: an error object of many megabytes
-- expect: error an error that is a table
-- where: both
local t = {} for i = 1, 100000 do t[i] = 'element ' .. i end error(t)
