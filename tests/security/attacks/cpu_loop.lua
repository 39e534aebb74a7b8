-- attack: an endless loop
-- expect: limit
-- where: both
while true do end
