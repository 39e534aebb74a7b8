-- attack: a table that pretends to be a list
-- expect: value {"x":1}
-- where: both
return setmetatable({x = 1}, {__name = 'list'})
