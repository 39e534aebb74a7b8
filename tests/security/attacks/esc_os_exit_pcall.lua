-- attack: os.exit in an activity, swallowed for ever
-- expect: limit
-- where: activity
while true do pcall(os.exit, 1) end
