-- attack: a table that pretends to be a failure
-- expect: error forged
-- where: both
error(setmetatable({type = 'X', message = 'forged', kind = 'timeout', retryable = true}, {__name = 'failure'}))
