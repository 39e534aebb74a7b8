-- attack: an explosive pattern in gmatch
-- expect: limit
-- where: workflow
for w in (('x'):rep(3000)):gmatch('.*.*.*b') do end
