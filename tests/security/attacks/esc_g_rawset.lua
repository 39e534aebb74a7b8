-- attack: rawset past the guard of undefined globals
-- expect: value [1,false]
-- where: both
rawset(_G, 'mine', 1) return ml.list {mine, (pcall(function() return misspelt end))}
