-- attack: a chain of 100,000 __call tables
-- expect: error chain of __call
-- where: workflow
local t = function() return 1 end for i = 1, 100000 do t = setmetatable({}, {__call = t}) end
return (pcall(t))
