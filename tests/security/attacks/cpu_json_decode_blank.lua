-- attack: decoding megabytes of blanks
-- expect: limit
-- where: workflow
local s = (' '):rep(8000000) .. '1'
while true do ml.json.decode(s) end
