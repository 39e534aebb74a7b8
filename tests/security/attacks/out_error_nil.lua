-- attack: error(nil)
-- expect: error nil
-- where: both
error(nil)
