-- attack: yields across pcall, sort, gsub, metamethods, iterators and load readers
-- expect: value true
-- where: both
local n = 0
local co = coroutine.wrap(function()
  pcall(coroutine.yield, 1) table.sort({2, 1}, function(a, b) coroutine.yield(2) return a < b end)
  string.gsub('x', 'x', function() coroutine.yield(3) end)
  local t = setmetatable({}, {__index = function() coroutine.yield(4) return 1 end, __add = function() coroutine.yield(5) return 1 end, __eq = function() coroutine.yield(6) return true end})
  local _ = t.x, t + 1, t == setmetatable({}, getmetatable(t)) for _ in function() coroutine.yield(7) return nil end do end
  return 'end' end)
for i = 1, 100 do n = n + 1 if co() == 'end' then break end end return n > 5
