-- attack: a wait inside __tostring
-- expect: error cannot wait here
-- where: workflow
return tostring(setmetatable({}, {__tostring = function() ml.sleep(1) return 'x' end}))
