-- attack: the order of texts does not see the locale
-- expect: same
-- where: workflow
local t = {'b', 'A', 'a', 'B', '_', 'Z', 'z', '-', '\xc3\xa4', 'ae', '1', 'a b', 'ab'} table.sort(t)
return table.concat(t, ' ') .. tostring('a' < 'B') .. tostring('_a' < 'a') .. tostring('a\0b' < 'a\0a')
