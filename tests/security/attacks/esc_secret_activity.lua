-- attack: a secret made into text, JSON and a result
-- expect: error a moonloop.secret cannot be JSON
-- where: activity
local s = ml.secret 'PATH' assert(not tostring(s):find('/bin', 1, true)) assert(not string.format('%s', s):find('/bin', 1, true)) assert(not pcall(ml.json.encode, {s})) return s
