-- attack: replacing _G and _ENV
-- expect: value true
-- where: both
local keep = _G
do local _ENV = {} x = 1 end
return rawget(_G, 'x') == nil and keep == _G
