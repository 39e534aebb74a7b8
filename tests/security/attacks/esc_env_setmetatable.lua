-- attack: a new metatable for _ENV
-- expect: error protected metatable
-- where: both
setmetatable(_ENV, nil)
