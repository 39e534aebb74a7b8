-- attack: the metatable of all texts
-- expect: value [false,false]
-- where: both
local mt = getmetatable('') return ml.list {mt, (pcall(setmetatable, '', {}))}
