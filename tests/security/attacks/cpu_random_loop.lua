-- attack: drawing numbers for ever
-- expect: limit
-- where: workflow
while true do math.random() ml.random() end
