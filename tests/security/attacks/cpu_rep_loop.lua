-- attack: strings of 30 MB in a loop
-- expect: limit
-- where: both
while true do local s = ('x'):rep(2^24 | 0) end
