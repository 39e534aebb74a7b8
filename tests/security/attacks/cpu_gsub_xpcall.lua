-- attack: xpcall with a looping handler inside a gsub callback
-- expect: limit
-- where: both
string.gsub('x', 'x', function()
  while true do xpcall(function() while true do end end, function() while true do end end) end end)
