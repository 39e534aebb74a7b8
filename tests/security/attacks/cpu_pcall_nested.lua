-- attack: pcall around pcall around the loop, all endless
-- expect: limit
-- where: workflow
local function f() while true do pcall(pcall, pcall, function() while true do end end) end end
pcall(f) while true do pcall(f) end
