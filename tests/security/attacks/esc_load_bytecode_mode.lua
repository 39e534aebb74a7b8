-- attack: load of bytecode with mode b and bt
-- expect: value true
-- where: both
local a = load(('\27Lua\x54\0\x19\x93\r\n\x1a\n' .. ('\0'):rep(200)), 'x', 'b') local c = load(('\27Lua\x54\0\x19\x93\r\n\x1a\n' .. ('\0'):rep(200)), 'x', 'bt') return a == nil and c == nil
