-- attack: ml.fail with an object as its text
-- expect: same
-- where: workflow
local ok, e = pcall(ml.fail, {}) local ok2, e2 = pcall(ml.fail, print) return tostring(e.message) .. tostring(e2.message)
