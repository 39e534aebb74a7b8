-- attack: builtins replaced by the script: the runtime does not lean on them
-- expect: value {"x":[1,2]}
-- where: workflow
pcall, error, type, pairs, ipairs, next, select, tostring, setmetatable = nil
table.unpack, table.pack, table.insert, table.concat = nil
ml.sleep(1) ml.all {ml.spawn(function() ml.sleep(1) end)} ml.saga(function() end)
return {x = {1, 2}}
