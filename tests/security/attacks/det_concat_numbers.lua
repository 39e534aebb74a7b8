-- attack: numbers in text: integers, floats, limits
-- expect: same
-- where: workflow
return table.concat({1, 1.0, -0.0, 1e15, 1e16, 1e100, 2^53, math.maxinteger, math.pi, 0.1, 1 / 3}, ' ') .. tostring(math.mininteger)
