-- attack: load from a reader that never ends
-- expect: limit
-- where: both
load(function() return ' ' end)
