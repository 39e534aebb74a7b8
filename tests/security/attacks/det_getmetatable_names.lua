-- attack: names in error texts of userdata
-- expect: same
-- where: workflow
local out = {} for _, v in ipairs {ml.null, ml.bytes 'x', ml.spawn(function() end), ml.channel 'c'} do out[#out + 1] = tostring((select(2, pcall(function() return v + 1 end)))) end return table.concat(out, '|')
