-- attack: os.exit inside __tostring, where nothing can yield
-- expect: error os.exit
-- where: activity
return tostring(setmetatable({}, {__tostring = function() os.exit(3) end}))
