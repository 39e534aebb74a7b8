-- attack: weak tables keep what they hold
-- expect: value 1000
-- where: workflow
local t = setmetatable({}, {__mode = 'k'}) for i = 1, 1000 do t[{}] = i end
for i = 1, 50000 do local x = {i} end local n = 0 for i = 1, 1 do local k repeat k = nil until true end
local seen = 0 local ok = pcall(function() for _ in pairs(t) do seen = seen + 1 end end)
local v = setmetatable({}, {__mode = 'v'}) for i = 1, 1000 do v[i] = {} end for i = 1, 50000 do local x = {i} end return #v
