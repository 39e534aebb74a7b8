-- attack: a run that continues as new at once, again and again, stays bounded by its own count
-- expect: value 20
-- where: file
ml.workflow('attack', function(input) local n = type(input) == 'table' and input.k or 0 if n >= 20 then return n end ml.continue_as_new {k = n + 1} end)
