-- attack: an endless loop that swallows every error
-- expect: limit
-- where: both
while true do pcall(function() while true do end end) end
