-- attack: memo fields set without end
-- expect: limit
-- where: workflow
local i = 0 while true do i = i + 1 ml.memo {['a' .. i] = ('x'):rep(1000)} end
