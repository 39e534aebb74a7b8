-- attack: gsub that doubles its text again and again
-- expect: limit
-- where: workflow
local s = 'x' for i = 1, 60 do s = s:gsub('.', '%0%0') end
