-- attack: os.date does not see the locale
-- expect: same
-- where: workflow
return os.date('%A %B %a %b %c %x %X %p', 1234567890)
