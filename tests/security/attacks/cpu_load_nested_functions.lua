-- attack: functions nested 100,000 deep in a chunk
-- expect: value ["nil","string"]
-- where: both
local f, why = load(('return function() '):rep(100000))
return ml.list {type(f), type(why)}
