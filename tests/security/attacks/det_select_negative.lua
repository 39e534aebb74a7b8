-- attack: select and unpack with negative places
-- expect: same
-- where: workflow
return {select(-1, 1, 2, 3), (select('#')), (table.unpack({1, 2, 3}, -1, 1) == nil)}
