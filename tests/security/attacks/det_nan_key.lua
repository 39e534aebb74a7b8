-- attack: not-a-number as a key, and as a comparison
-- expect: same
-- where: workflow
local ok = pcall(function() local t = {} t[0 / 0] = 1 end) return {ok, 0 / 0 == 0 / 0, math.max(1, 2)}
