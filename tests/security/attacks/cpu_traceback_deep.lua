-- attack: debug.traceback over a deep stack, for ever
-- expect: limit
-- where: workflow
local function deep(n) if n > 0 then return (deep(n - 1)) end while true do debug.traceback() end end
deep(100000)
