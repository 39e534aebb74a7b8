-- attack: xpcall as its own handler
-- expect: limit
-- where: workflow
while true do xpcall(error, function(e) xpcall(error, function() error(e) end) end, 'x') end
