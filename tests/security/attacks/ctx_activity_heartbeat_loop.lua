-- attack: heartbeats for ever
-- expect: limit
-- where: activity
while true do ml.heartbeat(1) end
