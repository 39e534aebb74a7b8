-- attack: errors caught over and over on a deep stack
-- expect: limit time
-- where: workflow
local function deep(n) if n > 0 then return (deep(n - 1)) end while true do xpcall(error, function() end) end end
deep(100000)
