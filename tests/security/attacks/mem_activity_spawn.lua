-- attack: branches of an activity without end
-- expect: limit
-- where: activity
local t = {} while true do t[#t + 1] = ml.spawn(function() ml.sleep(100) end) end
