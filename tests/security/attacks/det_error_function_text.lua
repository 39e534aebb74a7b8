-- attack: a function raised: its text shows no address
-- expect: error function#
-- where: workflow
error(function() end)
