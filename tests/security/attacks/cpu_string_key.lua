-- attack: looking up keys of 10 MB
-- expect: limit time
-- where: workflow
local a, b = ('x'):rep(8000000), ('x'):rep(7999999) .. 'x'
local t = {[a] = 1} local n while true do n = t[b] end
