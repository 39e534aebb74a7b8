-- attack: a pattern of many captures that never matches
-- expect: limit
-- where: workflow
return (('x'):rep(400)):find(('(.-)'):rep(20) .. 'y')
