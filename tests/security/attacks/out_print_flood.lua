-- attack: printing for ever
-- expect: limit
-- where: workflow
while true do print(('x'):rep(1000)) end
