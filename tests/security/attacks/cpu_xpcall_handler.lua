-- attack: xpcall whose handler loops as well
-- expect: limit
-- where: both
while true do xpcall(function() while true do end end, function() while true do end end) end
