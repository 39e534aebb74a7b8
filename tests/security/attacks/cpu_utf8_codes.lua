-- attack: utf8.codes over continuation bytes only
-- expect: limit
-- where: workflow
local s = 'a' .. ('\x80'):rep(8000000)
while true do pcall(function() for _ in utf8.codes(s, true) do end end) end
