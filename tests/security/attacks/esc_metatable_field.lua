-- attack: __metatable keeps the metatable from being read and changed
-- expect: value ["no",false]
-- where: both
local t = setmetatable({}, {__metatable = 'no'}) return ml.list {getmetatable(t), (pcall(setmetatable, t, {}))}
