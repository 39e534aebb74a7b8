-- attack: the same, with a handler that allocates more
-- expect: limit
-- where: workflow
local t = {} while true do xpcall(function() while true do t[#t + 1] = {} end end, function() t[#t + 1] = ('x'):rep(1e6) .. #t end) end
