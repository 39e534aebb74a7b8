-- attack: coroutines with deep stacks
-- expect: limit
-- where: workflow
local function deep(n) if n > 0 then return 1 + deep(n - 1) end coroutine.yield() end
local t = {} while true do t[#t + 1] = coroutine.wrap(deep) t[#t](10000) end
