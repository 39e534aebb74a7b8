-- attack: the chunk whose _ENV is <const> that older parsers crash on
-- expect: value "survived"
-- where: both
for _, s in ipairs {'local _ENV <const> = 1; x = 1', 'local _ENV <const> = {}; y = (function() z = 1 return z end)()', 'local a <const>, _ENV <const> = 11, nil; return a, b'} do
  local f = load(s) if f then pcall(f) end end return 'survived'
