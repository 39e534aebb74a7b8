-- attack: an error object whose __tostring raises
-- expect: error could not be made
-- where: both
error(setmetatable({}, {__tostring = function() error('again') end}))
