-- attack: an error text of 10 MB in an activity
-- expect: error xxxx
-- where: activity
error(('x'):rep(10000000))
