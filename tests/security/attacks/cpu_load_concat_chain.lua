-- attack: one expression of 100,000 concatenations
-- expect: value ["nil","string"]
-- where: both
local f, why = load('return ' .. ('x..'):rep(100000) .. 'x')
return ml.list {type(f), type(why)}
