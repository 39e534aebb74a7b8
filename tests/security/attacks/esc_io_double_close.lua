-- attack: closing a file twice and using it afterwards
-- expect: value [false,false]
-- where: activity
local f = io.tmpfile() f:close() return ml.list {(pcall(f.close, f)), (pcall(f.read, f))}
