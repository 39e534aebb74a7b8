-- attack: decoding numbers into a list past the limit
-- expect: limit
-- where: workflow
local keep, s = {}, '[' .. ('1,'):rep(500000) .. '1]'
while true do keep[#keep + 1] = ml.json.decode(s) end
