-- attack: utf8.codepoint of 800,000 characters
-- expect: limit
-- where: workflow
local s = ('x'):rep(800000)
while true do utf8.codepoint(s, 1, -1) end
