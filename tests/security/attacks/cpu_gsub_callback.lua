-- attack: a loop inside a gsub callback, where stock Lua cannot yield
-- expect: limit
-- where: both
while true do pcall(string.gsub, 'x', 'x', function() while true do end end) end
