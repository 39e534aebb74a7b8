-- attack: a file whose top takes all memory in the run
-- expect: limit
-- where: file
-- normal: apart
if not rawget(_G, 'io') then local t = {} while true do t[#t + 1] = {} end end
ml.workflow('attack', function() return 1 end)
