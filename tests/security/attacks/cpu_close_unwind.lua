-- attack: a <close> variable whose __close loops while an error unwinds
-- expect: limit
-- where: both
local x <close> = setmetatable({}, {__close = function() while true do end end})
error('x')
