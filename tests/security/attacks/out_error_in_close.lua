-- attack: an error in a __close during another
-- expect: error second
-- where: both
local x <close> = setmetatable({}, {__close = function() error('second') end}) error('first')
