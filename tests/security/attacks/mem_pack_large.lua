-- attack: string.pack of large texts
-- expect: limit
-- where: workflow
local s, t = ('x'):rep(1000000), {} while true do t[#t + 1] = string.pack('s8', s .. #t) end
