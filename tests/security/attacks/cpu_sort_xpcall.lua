-- attack: xpcall with a looping handler inside a comparison
-- expect: limit
-- where: workflow
table.sort({3, 2, 1}, function()
  while true do xpcall(function() while true do end end, function() while true do end end) end end)
