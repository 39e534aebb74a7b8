-- attack: a character set of a million members at every position
-- expect: limit
-- where: workflow
local set = '[' .. ('b'):rep(1000000) .. ']'
return (('a'):rep(1000000)):find(set .. 'x')
