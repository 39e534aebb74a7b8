-- attack: the same raised by an activity: made into text outside of any coroutine
-- expect: error could not be made
-- where: activity
error(setmetatable({}, {__tostring = function() while true do pcall(function() while true do end end) end end}))
