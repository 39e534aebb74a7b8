-- attack: a chunk of a million open parentheses
-- expect: value ["nil","string"]
-- where: both
local f, why = load('return ' .. ('('):rep(1000000))
return ml.list {type(f), type(why)}
