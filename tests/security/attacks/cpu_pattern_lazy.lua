-- attack: four lazy repetitions over a thousand bytes
-- expect: limit
-- where: both
return (('x'):rep(1000)):find('.-.-.-.-b')
