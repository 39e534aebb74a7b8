-- attack: an error object whose __tostring answers a table
-- expect: error an error whose text could not be made
-- where: both
error(setmetatable({}, {__tostring = function() return {} end}))
