-- attack: returning infinity
-- expect: error infinite
-- where: both
return {x = math.huge}
