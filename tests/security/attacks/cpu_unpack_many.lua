-- attack: table.unpack of ten million elements
-- expect: error too many results
-- where: both
return table.unpack({}, 1, 1e7)
