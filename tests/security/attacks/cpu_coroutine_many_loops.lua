-- attack: new coroutines that each loop, swallowed one after another
-- expect: limit
-- where: workflow
while true do local co = coroutine.create(function() while true do end end) coroutine.resume(co) end
