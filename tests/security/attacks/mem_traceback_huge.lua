-- attack: a traceback of long names
-- expect: error deep
-- where: workflow
local src = 'return function(f) return (f()) end'
local name = '=' .. ('n'):rep(3000)
local f = function() error('deep') end for i = 1, 150 do local g, h = load(src, name)(), f f = function() return (g(h)) end end f()
