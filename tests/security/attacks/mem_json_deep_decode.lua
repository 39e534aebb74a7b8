-- attack: decoding 1,000 levels
-- expect: error deeper than 100 levels
-- where: both
return ml.json.decode(('['):rep(1000) .. (']'):rep(1000))
