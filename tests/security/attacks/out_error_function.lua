-- attack: a function as an error
-- expect: error function
-- where: both
error(print)
