-- attack: collectgarbage('count') and its kin
-- expect: same
-- where: workflow
local t = {} for i = 1, 1000 do t[i] = {} end return {collectgarbage('count'), collectgarbage('step', 100), collectgarbage('collect'), collectgarbage('isrunning'), collectgarbage('incremental')}
