-- attack: an endless loop of goto
-- expect: limit
-- where: both
::again:: goto again
