-- attack: string.unpack of a format of 8 MB
-- expect: limit
-- where: workflow
local f, s = ('x'):rep(8000000), ('x'):rep(8000000)
while true do string.unpack(f, s) end
