-- attack: ipairs over an __index that never ends
-- expect: limit
-- where: workflow
for i in ipairs(setmetatable({}, {__index = function() return 1 end})) do end
