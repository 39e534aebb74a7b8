-- attack: coroutine.close of a coroutine whose __close loops
-- expect: limit
-- where: both
local co = coroutine.create(function()
  local x <close> = setmetatable({}, {__close = function() while true do pcall(error) end end}) coroutine.yield() end)
coroutine.resume(co) coroutine.close(co)
