-- attack: a __close that loops on an ordinary return
-- expect: limit
-- where: workflow
local x <close> = setmetatable({}, {__close = function() while true do end end})
return 1
