-- attack: loops in __add, __concat, __lt, __eq, __len, __call, __unm, __index and __newindex
-- expect: limit
-- where: workflow
local function loop() while true do pcall(error) end end
local mt = {} for _, e in ipairs {'add', 'concat', 'lt', 'le', 'eq', 'len', 'call', 'unm', 'index', 'newindex', 'bnot', 'idiv'} do mt['__' .. e] = loop end
local a, b = setmetatable({}, mt), setmetatable({}, mt)
local tries = {function() return a + b end, function() return a .. b end, function() return a < b end, function() return a == b end,
  function() return #a end, function() return a() end, function() return -a end, function() return a.x end, function() a.x = 1 end}
for _, f in ipairs(tries) do coroutine.wrap(f)() end
