-- attack: comparing two equal texts of 10 MB: one instruction each time
-- expect: limit time
-- where: workflow
local a, b = ('x'):rep(10000000), ('x'):rep(9999999) .. 'x'
local n while true do n = a == b end
