-- attack: load of bytecode
-- expect: value true
-- where: both
local f, why = load(('\27Lua\x54\0\x19\x93\r\n\x1a\n' .. ('\0'):rep(200))) return f == nil and type(why) == 'string'
