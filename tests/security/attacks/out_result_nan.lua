-- attack: returning not-a-number
-- expect: error not-a-number
-- where: both
return {x = 0 / 0}
