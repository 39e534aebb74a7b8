-- attack: string.rep to a terabyte
-- expect: error resulting string too large
-- where: workflow
return #string.rep('x', 1 << 40)
