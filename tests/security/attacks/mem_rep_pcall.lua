-- attack: string.rep over the limit, swallowed
-- expect: limit
-- where: workflow
while true do pcall(string.rep, 'x', 1 << 30) end
