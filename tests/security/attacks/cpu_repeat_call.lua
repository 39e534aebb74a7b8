-- attack: an endless loop of calls
-- expect: limit
-- where: workflow
local function f() end repeat f() until false
