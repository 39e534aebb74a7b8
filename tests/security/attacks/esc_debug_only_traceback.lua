-- attack: what is left of debug, also by require
-- expect: value ["traceback"]
-- where: both
local names = ml.list {} for k in pairs(require 'debug') do names[#names + 1] = k end return names
