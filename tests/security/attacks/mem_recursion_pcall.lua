-- attack: pcall nested without end
-- expect: limit
-- where: workflow
local function f() return pcall(f) end while true do f() end
