-- attack: string.packsize of a format of 8 MB
-- expect: limit
-- where: workflow
local f = (' '):rep(8000000)
while true do string.packsize(f) end
