-- attack: errors that ask for a far level of a deep stack
-- expect: limit time
-- where: workflow
local function deep(n) if n > 0 then return (deep(n - 1)) end while true do pcall(error, 'x', 90000) end end
deep(100000)
