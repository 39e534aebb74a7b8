-- attack: addresses in texts of errors
-- expect: same
-- where: workflow
local out = {}
for _, f in ipairs {function() error({}) end, function() return {} .. 'x' end, function() return {} < {} end, function() return #print end, function() string.rep({}) end, function() ml.sleep({}) end,
  function() setmetatable({}, 1) end, function() ml.fail({}) end, function() ml.fail(print) end, function() return ml[{}] end} do
  local _, e = pcall(f) out[#out + 1] = tostring(e) end return table.concat(out, '|')
