-- attack: a numeric for over all integers
-- expect: limit
-- where: workflow
for i = math.mininteger, math.maxinteger do end
