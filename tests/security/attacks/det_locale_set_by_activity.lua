-- attack: an activity that changes the process's locale does not change the run
-- expect: same
-- where: workflow
local before = string.format('%.1f', 1.5) .. tostring('a' < 'B') .. ('x'):upper()
return before
