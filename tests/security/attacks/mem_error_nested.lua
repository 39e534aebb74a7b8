-- attack: an error in the handler of an error in the handler ...
-- expect: value false
-- where: both
local function h(e) error({e}) end
local f = error for i = 1, 100 do local g = f f = function() assert(xpcall(g, h)) end end
return (pcall(f))
