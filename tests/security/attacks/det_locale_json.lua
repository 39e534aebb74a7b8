-- attack: numbers in JSON do not see the locale
-- expect: same
-- where: workflow
local t = ml.json.decode('{"x":1.5,"y":1e-7}') return {t.x, t.y, ml.json.encode {0.1, 1.5e300}}
