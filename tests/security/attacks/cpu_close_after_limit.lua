-- attack: a __close that would run when the limit ends the coroutine
-- expect: limit
-- where: workflow
local x <close> = setmetatable({}, {__close = function() while true do pcall(error) end end})
while true do end
