-- attack: a pattern that nests deeper than the matcher goes
-- expect: error pattern too complex
-- where: both
return (('x'):rep(5000)):match(('x?'):rep(5000))
