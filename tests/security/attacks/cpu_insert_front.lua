-- attack: inserting at the front of a long list for ever
-- expect: limit
-- where: workflow
local t = {}
while true do table.insert(t, 1, 1) end
