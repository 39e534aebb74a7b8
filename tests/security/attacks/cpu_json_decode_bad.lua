-- attack: decoding a large text that is wrong at its very end
-- expect: limit
-- where: workflow
local s = '[' .. ('1,'):rep(1000000) .. 'x'
while true do pcall(ml.json.decode, s) end
