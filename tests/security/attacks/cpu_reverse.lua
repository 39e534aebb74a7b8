-- attack: string.reverse, upper, lower and sub of a large text
-- expect: limit
-- where: workflow
local s = ('x'):rep(4000000)
while true do s:reverse() s:upper() s:lower() s:sub(2) end
