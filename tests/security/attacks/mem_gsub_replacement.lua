-- attack: gsub with a huge replacement for each letter
-- expect: limit
-- where: workflow
return #(('x'):rep(100000):gsub('x', ('y'):rep(100000)))
