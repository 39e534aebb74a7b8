-- attack: table.pack, table.move and constructors of great size
-- expect: limit
-- where: workflow
local keep = {} while true do keep[#keep + 1] = table.pack(table.unpack({}, 1, 250000)) end
