-- attack: one printed line of 8 MB, with zero bytes
-- expect: value "fine"
-- where: both
print(('\0x'):rep(4000000)) return 'fine'
