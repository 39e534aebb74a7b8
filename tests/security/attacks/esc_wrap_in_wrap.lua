-- attack: 90 wraps in one another (stock Lua allows 190, here each takes two places), each yielding through all
-- expect: value 100
-- where: both
local f = function() for i = 1, 100 do coroutine.yield(i) end end
for i = 1, 90 do local g = f f = function() local co = coroutine.wrap(g) for j = 1, 100 do coroutine.yield(co()) end end end
local co, last = coroutine.wrap(f) for i = 1, 100 do last = co() end return last
