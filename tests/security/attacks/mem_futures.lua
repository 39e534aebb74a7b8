-- attack: futures without end
-- expect: limit
-- where: workflow
local t = {} while true do t[#t + 1] = ml.spawn(function() ml.sleep('1d') end) end
