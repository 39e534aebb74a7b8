-- attack: tostring of tables, functions and coroutines
-- expect: same
-- where: workflow
return tostring({}) .. tostring(print) .. tostring(coroutine.create(print)) .. tostring(ml.spawn(function() end))
