-- attack: a new metatable for _G
-- expect: error protected metatable
-- where: both
setmetatable(_G, {__index = function() return 'everything' end})
