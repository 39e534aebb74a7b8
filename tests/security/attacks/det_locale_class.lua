-- attack: letter classes of patterns do not see the locale
-- expect: same
-- where: workflow
local n = {} for _, c in ipairs {'%a', '%u', '%l', '%p', '%s', '%w', '%c', '%x', '%g'} do local k = 0 for i = 0, 255 do if string.char(i):find(c) then k = k + 1 end end n[#n + 1] = k end return n
