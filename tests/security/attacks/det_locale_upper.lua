-- attack: upper and lower of bytes beyond ASCII do not see the locale
-- expect: same
-- where: workflow
local s = {} for i = 128, 255 do s[#s + 1] = string.char(i) end s = table.concat(s) return (s:upper() == s) and (s:lower() == s)
