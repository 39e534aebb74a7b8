-- attack: the value of a secret in a run or in text
-- expect: value true
-- where: workflow
local s = ml.secret 'PATH' local ok, t = pcall(tostring, s) return not (ok and t:find('/bin', 1, true))
