-- attack: log lines for ever
-- expect: limit
-- where: workflow
while true do ml.log.info('x', {text = ('x'):rep(1000)}) end
