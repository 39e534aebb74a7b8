-- attack: an error text that is no UTF-8
-- expect: error \xff\xfe\x80 broken
-- where: workflow
error('\xff\xfe\x80 broken')
