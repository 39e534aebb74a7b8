-- attack: string.rep past the largest size
-- expect: error resulting string too large
-- where: both
return string.rep('xxxx', math.maxinteger)
