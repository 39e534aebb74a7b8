-- attack: the same for what activities get
-- expect: value {}
-- where: activity
local open = {}
local function look(name, v) if type(v) == 'userdata' or type(v) == 'table' then
  local mt = getmetatable(v) if type(mt) == 'table' and rawget(mt, '__gc') then open[name] = 'open' end end end
look('future', ml.spawn(function() end)) look('bytes', ml.bytes('x')) look('secret', ml.secret('X')) look('env', ml.env('X'))
look('info', ml.info())
return open
