-- attack: no userdata of the runtime gives its metatable away
-- expect: value {}
-- where: workflow
local open = {}
local function look(name, v) if type(v) == 'userdata' or v == ml.null then
  local mt = getmetatable(v) if type(mt) == 'table' then open[name] = 'open' end end end
look('future', ml.spawn(function() end)) look('channel', ml.channel('c')) look('external', ml.external('x'))
look('null', ml.null) look('bytes', ml.bytes('x')) look('secret', ml.secret and ml.secret('X')) look('env', ml.env and ml.env('X'))
look('info', ml.info()) look('list', ml.list {}) look('activity', normal_step)
return open
