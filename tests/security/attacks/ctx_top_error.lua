-- attack: a file whose top raises in the run only
-- expect: error only here
-- where: file
-- normal: apart
if not rawget(_G, 'io') then error('only here') end
ml.workflow('attack', function() return 1 end)
