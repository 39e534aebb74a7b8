-- attack: methods of one kind of object called with every other kind
-- expect: value true
-- where: workflow
local objects = {ml.spawn(function() end), ml.channel('c'), ml.external('x'), ml.null, ml.bytes('x'), ml.list {}, {}, 'text', 7, 7.5, true, print,
  coroutine.create(print), setmetatable({}, {__name = 'moonloop.future'}), normal_step, ml.child('normal')}
local names = {'await', 'done', 'cancel', 'receive', 'signal', 'result', 'async', 'start', 'try_receive', 'close', 'peek', 'id', 'inline', 'compensate'}
local n = 0
for _, o in ipairs(objects) do for _, m in ipairs(names) do
  local ok, f = pcall(function() return o[m] end)
  if ok and type(f) == 'function' then for _, other in ipairs(objects) do
    if other ~= o and type(other) ~= type(o) then pcall(f, other, {}) n = n + 1 end end end end end
return n > 0
