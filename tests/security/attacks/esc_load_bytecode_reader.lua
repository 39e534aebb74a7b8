-- attack: load of bytecode from a reader, byte by byte
-- expect: value true
-- where: both
local s, i = ('\27Lua\x54\0\x19\x93\r\n\x1a\n' .. ('\0'):rep(200)), 0
local f, why = load(function() i = i + 1 return s:sub(i, i) end, 'x', 'b') return f == nil and type(why) == 'string'
