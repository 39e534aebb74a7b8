-- attack: the environment, the arguments and the process are out of reach
-- expect: same
-- where: workflow
return tostring(rawget(os, 'getenv')) .. tostring(rawget(_G, 'arg')) .. tostring(rawget(_G, 'io'))
