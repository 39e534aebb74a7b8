-- attack: xpcall whose handler raises, again and again
-- expect: limit
-- where: workflow
local function h(e) error(e) end
while true do xpcall(error, h, 'x') end
