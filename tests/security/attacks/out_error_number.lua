-- attack: a number as an error
-- expect: error 42
-- where: both
error(42)
