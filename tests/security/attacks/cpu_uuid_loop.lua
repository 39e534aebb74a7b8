-- attack: making ids for ever
-- expect: limit
-- where: workflow
while true do ml.uuid() end
