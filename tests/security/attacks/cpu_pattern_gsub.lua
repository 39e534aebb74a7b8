-- attack: an explosive pattern in gsub
-- expect: limit
-- where: workflow
return (('x'):rep(2000)):gsub('.-.-.-b', '')
