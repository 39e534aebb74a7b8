-- attack: branches that wake each other for ever without time passing
-- expect: limit
-- where: workflow
local function go() ml.spawn(go) end
go() ml.sleep('1s')
