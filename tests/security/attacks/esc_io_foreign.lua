-- attack: file methods with foreign values
-- expect: value true
-- where: activity
local f <close> = io.tmpfile() local n = 0
for _, v in ipairs {1, 'x', {}, print, ml.bytes('x'), setmetatable({}, {__name = 'FILE*'}), coroutine.create(print)} do
  for _, m in ipairs {'read', 'write', 'close', 'seek', 'lines', 'setvbuf', 'flush'} do if pcall(f[m], v) then n = n + 1 end end end
return n == 0
