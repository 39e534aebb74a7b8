-- attack: an error text with control bytes and escape sequences
-- expect: error red
-- where: both
error('\27[31mred\27[0m\0\7\8 end')
