-- attack: ml.now is the time of the history
-- expect: same
-- where: workflow
local a = ml.now() ml.sleep(#a) local b = ml.now() ml.sleep(tonumber(a:sub(18, 19)) + tonumber(b:sub(18, 19)) + 1) return 'fine'
