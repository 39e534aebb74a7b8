-- attack: an error text of 20 MB
-- expect: limit
-- where: workflow
error(('x'):rep(20000000))
