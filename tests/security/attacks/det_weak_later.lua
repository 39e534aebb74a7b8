-- attack: a __mode that is written into the metatable afterwards
-- expect: value 0
-- where: workflow
local mt = {} local v = setmetatable({}, mt) pcall(function() mt.__mode = 'v' end) pcall(rawset, mt, '__mode', 'v')
for i = 1, 1000 do v[i] = {} end for i = 1, 200000 do local x = {i} end return #v
