-- attack: a frontier whose set has a million members, at every position
-- expect: limit
-- where: workflow
local set = '%f[' .. ('b'):rep(1000000) .. ']'
return (('a'):rep(1000000)):find(set)
