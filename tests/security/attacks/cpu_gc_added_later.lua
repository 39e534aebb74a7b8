-- attack: a finalizer added after setmetatable
-- expect: value "no finalizer ran"
-- where: both
local ran = false
for i = 1, 1000 do local mt = {} local t = setmetatable({}, mt) mt.__gc = function() ran = true while true do end end end
collectgarbage() collectgarbage()
for i = 1, 50000 do local t = {i} end
return ran and 'ran' or 'no finalizer ran'
