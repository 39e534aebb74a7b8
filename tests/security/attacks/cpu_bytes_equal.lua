-- attack: comparing two ml.bytes of 8 MB for ever
-- expect: limit
-- where: workflow
local a, b = ml.bytes(('x'):rep(8000000)), ml.bytes(('x'):rep(8000000))
local n while true do n = a == b end
