-- attack: towers of upvalues
-- expect: limit
-- where: workflow
local f = function() return 0 end
while true do local g, pad = f, {} f = function() return g, pad end end
