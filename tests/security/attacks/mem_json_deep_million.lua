-- attack: decoding a million levels
-- expect: error deeper than 100 levels
-- where: both
return ml.json.decode(('{"a":'):rep(1000000))
