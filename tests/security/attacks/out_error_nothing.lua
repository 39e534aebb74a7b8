-- attack: error()
-- expect: error nil
-- where: both
error()
