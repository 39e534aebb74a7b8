-- attack: compiling text for ever
-- expect: limit
-- where: workflow
while true do load(('x = 1 '):rep(10000)) end
