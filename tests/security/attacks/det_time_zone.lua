-- attack: os.date and os.time do not see the time zone
-- expect: same
-- where: workflow
return os.date('%Y-%m-%d %H:%M:%S %Z %z %c %x %X %p', 86400) .. os.time {year = 2024, month = 7, day = 1, hour = 0} .. os.date('!%H', 0) .. os.date('%H', 0)
