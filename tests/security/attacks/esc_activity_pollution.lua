-- attack: an activity that breaks the libraries of its own state
-- expect: error kept 3
-- where: activity
local keep = {pcall, error, type}
error('kept ' .. #keep)
