-- attack: returning a text of 34 MB
-- expect: error 32 MiB
-- where: activity
return ('x'):rep(34000000)
