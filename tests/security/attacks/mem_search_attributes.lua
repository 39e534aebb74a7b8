-- attack: search attributes set without end
-- expect: limit
-- where: workflow
local i = 0 while true do i = i + 1 ml.search_attributes {['a' .. i] = ('x'):rep(1000)} end
