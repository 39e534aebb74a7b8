-- attack: returning text that is no UTF-8
-- expect: error not UTF-8
-- where: both
return {x = '\xff'}
