-- attack: one tonumber of ten million digits
-- expect: value "number"
-- where: both
return type(tonumber(('1'):rep(10000000)))
