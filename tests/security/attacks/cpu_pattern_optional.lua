-- attack: the pattern a?a?... against as many letters
-- expect: limit
-- where: both
return (('a'):rep(30)):find(('a?'):rep(30) .. ('a'):rep(30))
