-- attack: four greedy repetitions over a thousand bytes
-- expect: limit
-- where: workflow
return (('x'):rep(1000)):match('.*.*.*.*b')
