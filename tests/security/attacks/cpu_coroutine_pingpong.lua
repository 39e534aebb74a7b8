-- attack: two coroutines that hand over for ever
-- expect: limit
-- where: both
local co = coroutine.wrap(function() while true do coroutine.yield() end end)
while true do co() end
