-- attack: string.format with wide numbers
-- expect: limit
-- where: workflow
while true do string.format('%99.99f', 1e308) end
