-- attack: os.date with a format of 500,000 fields
-- expect: limit
-- where: workflow
local f = ('%c'):rep(500000)
while true do pcall(os.date, f) end
