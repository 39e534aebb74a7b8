-- attack: os.date of 0 is the year 1970 in UTC
-- expect: value "1970-01-01 00:00:00"
-- where: workflow
return os.date('%Y-%m-%d %H:%M:%S', 0)
