-- attack: a __call that is its own table
-- expect: error chain of __call
-- where: activity
local t = {} setmetatable(t, {__call = t}) t()
