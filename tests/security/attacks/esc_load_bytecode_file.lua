-- attack: loadfile and dofile of bytecode in an activity
-- expect: value true
-- where: activity
local name = os.tmpname() local f = io.open(name, 'wb') f:write(('\27Lua\x54\0\x19\x93\r\n\x1a\n' .. ('\0'):rep(200))) f:close()
local a, b = loadfile(name), pcall(dofile, name) local c = loadfile(name, 'b') os.remove(name)
return a == nil and b == false and c == nil
