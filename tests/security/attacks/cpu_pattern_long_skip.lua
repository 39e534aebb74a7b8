-- attack: a set of a million members that is skipped over and over
-- expect: limit
-- where: workflow
local set = '[' .. ('b'):rep(1000000) .. ']?'
return (('a'):rep(1000000)):find(set .. set .. set .. 'x')
