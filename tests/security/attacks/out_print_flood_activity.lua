-- attack: printing for ever in an activity
-- expect: limit
-- where: activity
while true do print('x') end
