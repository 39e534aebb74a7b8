-- attack: io and os are there in activities by design
-- expect: value "written"
-- where: activity
local name = os.tmpname() local f = assert(io.open(name, 'w')) f:write('written') f:close()
local g <close> = io.open(name) local s = g:read('a') os.remove(name) return s
