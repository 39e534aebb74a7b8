-- attack: <close> variables nested without end
-- expect: limit
-- where: workflow
local function f() local x <close> = setmetatable({}, {__close = function() f() end}) end f()
