-- attack: an activity whose __close loops while its time-out unwinds it
-- expect: limit
-- where: activity
local x <close> = setmetatable({}, {__close = function() while true do pcall(error) end end}) ml.sleep(60)
