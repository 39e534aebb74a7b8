-- attack: decoding an object that names the same key a million times
-- expect: limit
-- where: workflow
local s = '{' .. ('"a":1,'):rep(1000000) .. '"a":1}'
while true do pcall(ml.json.decode, s) end
