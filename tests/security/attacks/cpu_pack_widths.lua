-- attack: string.pack with all widths, and beyond them
-- expect: limit
-- where: workflow
while true do for i = 0, 20 do pcall(string.pack, 'i' .. i, i) pcall(string.pack, '!' .. i .. 'xXi8', i) end end
