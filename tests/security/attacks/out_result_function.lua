-- attack: returning a function
-- expect: error function cannot be JSON
-- where: both
return {f = print}
