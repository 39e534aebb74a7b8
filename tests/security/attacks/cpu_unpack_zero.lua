-- attack: string.unpack of an unfinished zero-terminated text
-- expect: limit time
-- where: workflow
local s = ('x'):rep(8000000)
while true do pcall(string.unpack, 'z', s) end
